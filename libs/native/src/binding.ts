import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeCellClass } from './cell-binding.js';

/** The addon's classes, as `src/binding` defines them. Numbers are whole; bytes are copied on the way in and out. */
export interface NativeBinding {
  /** `onWake` runs when operations have ended: call `drain` until it returns less than the array holds. */
  readonly Driver: new (
    slots: number,
    spareShells: number,
    signalOffset: number,
    onWake: () => void,
  ) => NativeDriver;
  readonly Cell: NativeCellClass;
  /** What `NativeInterrupt.share` named, in any thread of the process; undefined once its VM is gone. */
  sharedKill(id: number): NativeSharedKill | undefined;
}

export interface NativeDriver {
  /**
   * @param regions address, length, rights of each, flat. @param output address and length; 0, 0 for none.
   * @param ring0TableBytes of a guest built for ring 0: bytes of its own page tables, from address 0.
   * @param supervisor the guest runs in ring 0.
   */
  createVm(
    memoryBytes: number,
    regions: Float64Array,
    output: Float64Array,
    loadAddresses: Float64Array,
    load: readonly Uint8Array[],
    ring0TableBytes: number | undefined,
    supervisor: boolean,
  ): NativeVm;
  createVmFromSnapshot(snapshot: NativeSnapshot): NativeVm;
  /** Writes records (`blocks.ts`) of ended operations, as many as fit. @returns how many. */
  drain(records: Uint8Array): number;
  /** What a record of the last `drain` has beside its numbers. */
  detail(index: number): {
    text?: string;
    errno?: number;
    count?: number;
    state?: Uint8Array;
    snapshot?: NativeSnapshot;
  };
  /** Begins to stop; a record of `Op.EngineClosed` tells when it has. */
  close(): void;
  /** After that record: joins the last thread and lets go of `onWake`. */
  finish(): void;
}

/** Operations throw at once what is wrong with them; else a record tells how they ended. */
export interface NativeVm {
  id(): number;
  /** Index of the slot that all its operations run on. */
  slot(): number;
  interrupt(): NativeInterrupt;
  /** @param block a request of `length` bytes (`blocks.ts`). */
  run(block: Uint8Array, length: number): void;
  snapshot(): void;
  restore(snapshot: NativeSnapshot): void;
  /** @param block a request with an entry. @param ranges address and length of each untouched range, flat. */
  prime(block: Uint8Array, length: number, ranges: Float64Array): void;
  /** Restores; the record's `count` then is the number of pages that differ from the base. */
  compare(): void;
  /** @param kind of `StateKind`; the record's `state` then has the bytes. */
  getState(kind: number): void;
  /** @param bytes as `state.ts` packs them. */
  setState(kind: number, bytes: Uint8Array): void;
  /**
   * @param lengthBytes 0: all that the source has. @param source bytes, or the descriptor of a file.
   * @returns the length that is mapped once the record has come.
   */
  mapRegion(
    address: number,
    lengthBytes: number,
    rights: number,
    source: Uint8Array | number,
    offsetBytes: number,
  ): number;
  unmapRegion(address: number): void;
  /** What is mapped while the VM is idle: address, length and rights of each, flat. */
  regions(): Float64Array;
  /** Fills `target` from guest memory or a region. */
  read(address: number, target: Uint8Array): void;
  write(address: number, bytes: Uint8Array): void;
  /** The outbox of the last run. */
  outbox(): Uint8Array;
  endCall(): void;
  /** Takes back a run that begins a call and has not begun itself; its record says so. @returns whether it was. */
  revoke(): boolean;
  /** @returns whether a record of the close will come; false when the driver frees the VM. */
  close(): boolean;
}

export interface NativeSnapshot {
  memoryBytes(): number;
  close(): void;
}

export interface NativeInterrupt {
  kill(): boolean;
  dropped(): boolean;
  callActive(): boolean;
  generation(): bigint;
  /** @returns its number for `sharedKill`; valid while this object lives. */
  share(): number;
}

/** Ends calls of a VM from any thread. Outlives the VM. */
export interface NativeSharedKill {
  /** Ends this call (`NativeInterrupt.generation`, or the call that a cell was told) if it is the active one. */
  kill(call: number): void;
  dropped(): boolean;
}

/** Loads the addon that `make -C libs/native` builds. @throws what the module loader throws when it is missing. */
export function loadBinding(): NativeBinding {
  return createRequire(import.meta.url)('../build/mayfly.node') as NativeBinding;
}

/** Path of the executable that `make -C libs/native` builds. */
export function cellExecutable(): string {
  return fileURLToPath(new URL('../build/mayfly-cell', import.meta.url));
}
