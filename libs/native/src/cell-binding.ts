/** The worker's end of one cell, as `src/binding/cell_wrap.cc` defines it: copies and events, nothing believed. */
export interface NativeCell {
  /** Copies a request block of `length` bytes into a seat and wakes the slot. The VM has no other operation. */
  run(
    slot: number,
    seat: number,
    generation: number,
    call: number,
    killed: boolean,
    revocable: boolean,
    block: Uint8Array,
    length: number,
  ): void;
  /** For kills of this seat's VM by other threads. */
  seatKill(seat: number): NativeSeatKill;
  /** Takes a revocable run back. @returns false when it has begun. */
  revoke(seat: number): boolean;
  /** @param file parts that go along in one sealed memfd */
  send(head: Uint8Array, body: Uint8Array, file?: readonly Uint8Array[]): void;
  /** Waits up to `timeoutMs`, 0: not at all. @returns null when the cell has closed its socket. */
  receive(timeoutMs: number): NativeCellMessage | null | undefined;
  /**
   * Copies as many completions as have a place in the array, one part after the other: the records that
   * `CompletionRecords` reads, the entries (32 bytes each), the first 2048 bytes of what else each answer brought, and
   * the moment after the last copy (CLOCK_MONOTONIC in nanoseconds, a double).
   * @returns how many; less than fit: the cell wakes for the next.
   * Throws (NativeCode.Request) what no honest cell does.
   */
  take(batch: Uint8Array): number;
  copyOutbox(seat: number, target: Uint8Array): void;
  copyTail(seat: number, target: Uint8Array): void;
  /** Gives back the pages that answers of this seat took. */
  forget(seat: number): void;
  /** @returns bytes read, 0: none. An empty target: nobody listens any more. */
  readLog(target: Uint8Array): number;
  /** Whether the event loop waits for this cell. */
  keepAlive(wanted: boolean): void;
  kill(): void;
  pid(): number;
  /** Once it has ended: si_code and si_status of waitid. */
  ending(): { readonly code: number; readonly status: number } | undefined;
}

export interface NativeSeatKill {
  /** As `NativeInterrupt.share`. */
  share(): number;
  /** Before the VM's close is sent: from here on no kill goes. */
  shut(): void;
  /** The VM is gone. */
  drop(): void;
}

export interface NativeCellMessage {
  readonly kind: number;
  readonly seat: number;
  readonly generation: number;
  readonly status: number;
  readonly a: number;
  readonly body: Uint8Array;
}

/** What `onEvent` is told. */
export const CellEvent = { Completions: 0, Message: 1, Log: 2, Ended: 3 } as const;

/**
 * @param numbers slots, seats, spare shells, first of the users that cells become (0: the spawner's), tasks, files, bytes of a file; all limits
 * Throws (NativeCode.NoHypervisor, Hypervisor) what kept the cell from starting.
 */
export type NativeCellClass = new (
  executable: string,
  numbers: Float64Array,
  onEvent: (event: number) => void,
) => NativeCell;
