/**
 * What a hypervisor driver does for the library. One conformance suite of named programs (`test/conformance`)
 * defines it: the KVM driver runs the programs assembled, the fake plays them as scripts.
 *
 * Requests and answers are plain data, and guest memory is reached only by `read` and `write`: nothing here
 * assumes that the core lives in the caller's process.
 */

import type { FpuState } from './fpu-state.js';
import type { SpecialRegisters } from './registers.js';

/** Rights of a region as guest-abi 1.1 numbers them; combine with `|`. */
export const Rights = { READ: 1, WRITE: 2, EXECUTE: 4, STACK_GUARD: 8 } as const;

export interface PlannedRegion {
  /** Guest address of the first byte; page aligned. Guest memory is identity mapped. */
  readonly address: number;
  /** Page aligned, above 0. */
  readonly lengthBytes: number;
  /** `Rights`; 0 maps nothing. A STACK_GUARD region is not present to the guest, reads included. */
  readonly rights: number;
}

/** All that a driver is told of a guest: sizes, rights and bytes, never an ELF. */
export interface VmPlan {
  /** Size of guest memory from address 0; page aligned, at most 1 GiB. */
  readonly memoryBytes: number;
  /** Ascending, not overlapping. Addresses that no region names are not present. */
  readonly regions: readonly PlannedRegion[];
  /** Bytes to place before the first run; every range lies in guest memory. */
  readonly load: readonly MemoryWrite[];
  /**
   * The output buffer of the guest ABI (guest-abi 6), from which the vCPU thread pops log records on its own.
   * Absent: no port is served on the thread.
   */
  readonly outputBuffer?: { readonly address: number; readonly lengthBytes: number };
  /**
   * What the library reads after most exits, beside the output buffer: at most 8 ranges and 4 KiB in guest memory. A hint
   * for drivers in another process, which send it along with each answer. @defaultValue nothing
   */
  readonly watch?: readonly AddressRange[];
  /**
   * The guest was built for ring 0: what it may not do at CPL 3 (`hlt`, `lgdt`, segment loads, `mov cr4` …) is done
   * for it over a virtual CPU state, and its exceptions go to its own IDT. `pageTablesBytes`: how much of guest memory,
   * from address 0, holds the page tables that it believes in (guest-abi 1.2); they are plain data among `load`, and no
   * region may cover them: the guest sees them once it has read CR3. Absent: such an instruction is an exception.
   */
  readonly ring0?: { readonly pageTablesBytes: number };
  /**
   * Where the guest runs. `user`: at CPL 3, below a monitor that owns page tables and descriptors. `supervisor`: in ring
   * 0 of its VM, as the reference runs its guests, owning its page tables: they are plain bytes of guest memory, `rights`
   * of regions count as what the hypervisor maps (no WRITE: read-only, STACK_GUARD or 0: nothing there), and an access
   * that they forbid is an `mmio` exit. It starts in the registers of guest-abi 4.1, or in others that
   * `setSpecialRegisters` gives; a restore copies all of its memory and takes special and extended registers from the
   * snapshot; all MSRs are denied. Less isolation and dearer calls: an option of the library, never of an upload. Not with
   * `ring0`: MAYFLY_ERR_VM_PLAN. @defaultValue 'user'
   */
  readonly privilege?: 'user' | 'supervisor';
}

/** Where the bytes of a mapped region come from. */
export type RegionSource =
  /** Taken when `mapRegion` is called: the caller may change them afterwards. */
  | { readonly bytes: Uint8Array }
  /**
   * A regular file, by path or by a descriptor that stays the caller's. Its pages are mapped copy-on-write from
   * `offsetBytes` (whole pages; default 0), shared with everybody who has the file mapped. Whoever shortens it meanwhile
   * ends the guests that touch what is gone, as an `unknown` exit.
   */
  | { readonly file: string | number; readonly offsetBytes?: number };

/**
 * Memory beside the plan's (guest-abi 1.4). Read-only for guest and host: it is not restored, and several VMs can share
 * it. A guest at CPL 3 finds it at `address`; one built for ring 0, or in it, maps this physical address in its page
 * tables first.
 */
export interface RegionRequest {
  /** Guest-physical; page aligned, at or above the plan's `memoryBytes`; the region ends below 60 GiB. */
  readonly address: number;
  /** Whole pages, at most 1 GiB. @defaultValue all that the source has, rounded up to a page; the rest of the last page is zero */
  readonly lengthBytes?: number;
  /** `Rights`: READ, or READ | EXECUTE. */
  readonly rights: number;
  readonly source: RegionSource;
}

export interface AddressRange {
  readonly address: number;
  readonly lengthBytes: number;
}

export interface MemoryWrite {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** x86-64 general registers. */
export interface GeneralRegisters {
  rax: bigint;
  rbx: bigint;
  rcx: bigint;
  rdx: bigint;
  rsi: bigint;
  rdi: bigint;
  rsp: bigint;
  rbp: bigint;
  r8: bigint;
  r9: bigint;
  r10: bigint;
  r11: bigint;
  r12: bigint;
  r13: bigint;
  r14: bigint;
  r15: bigint;
  rip: bigint;
  rflags: bigint;
}

export interface RunRequest {
  /** First bring memory and vCPU back to the VM's base snapshot. Refused as invalid when there is none. */
  readonly restore?: boolean;
  /**
   * Stores made before entry, after the restore, in order. The bytes are taken when `run` is called: the caller may
   * change them afterwards. Outside guest memory: MAYFLY_ERR_VM_RANGE.
   */
  readonly writes?: readonly MemoryWrite[];
  /**
   * Enter with exactly these registers (those not named are 0, RFLAGS 2) and reset extended state. Absent: the
   * guest goes on where its last exit left it, which must have been an OUT (a host call), `debug` or `retry`, or where `setRegisters` put
   * it; else it is refused with MAYFLY_ERR_VM_REQUEST.
   */
  readonly entry?: Partial<GeneralRegisters>;
  /**
   * Begins a call: the generation goes up by one and the call stays active, over all of its runs, until
   * `endCall`. A run outside a call cannot be cancelled by `kill` (guest-abi 10.1), but has its deadline.
   */
  readonly startsCall?: boolean;
  /**
   * Guest time budget in microseconds, from this entry; 0 or absent: none. Set on the first run of a call, it
   * holds for the call's later runs, too. Armed natively.
   */
  readonly deadlineUs?: number;
  /**
   * Keep the guest's trace batches (guest-abi 11.1) in the outbox, and answer with `clock`. Absent: they cost nothing.
   * A guest that sends them unasked goes on.
   */
  readonly traces?: boolean;
}

/** Why the guest came back, as somebody outside must see it. */
export type DriverExit =
  /** The guest executed `hlt`: normal end of initialisation and of a call. */
  | { readonly kind: 'halt' }
  /**
   * OUT. `value`: the first min(4, sizeBytes) bytes, zero-extended. Ports 99 and 102 to 106 are served on the
   * thread when the plan has an output buffer; 102 then settles once, when the abort has ended (its bytes
   * are in the outbox).
   */
  | { readonly kind: 'io-out'; readonly port: number; readonly sizeBytes: number; readonly value: number }
  | { readonly kind: 'io-in'; readonly port: number; readonly sizeBytes: number }
  /** A CPU exception of the guest that nothing in the guest takes. `address`: CR2 for #PF, else 0. */
  | {
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: bigint;
      readonly rip: bigint;
      readonly address: bigint;
    }
  /**
   * A guest built for ring 0 executed an instruction that is not done for it (`VmPlan.ring0`). `bytes`: as fetched at
   * `rip`, at most 15.
   */
  | {
      readonly kind: 'unsupported-instruction';
      readonly name: string;
      readonly bytes: Uint8Array;
      readonly rip: bigint;
    }
  | { readonly kind: 'mmio'; readonly address: bigint; readonly write: boolean; readonly lengthBytes: number }
  /** `revoke`: taken back before it began (`DriverVm.revoke`). */
  | { readonly kind: 'cancelled'; readonly by: 'kill' | 'deadline' | 'revoke' }
  /** Stopped for a debugger; a run without an entry goes on. `reason` as guest-abi 12.2 tells stops apart. */
  | {
      readonly kind: 'debug';
      readonly reason: 'step' | 'hardware-breakpoint' | 'software-breakpoint';
      readonly rip: bigint;
    }
  /** Nothing that anybody must see; a run without an entry goes on. Of drivers whose host interrupts entries itself. */
  | { readonly kind: 'retry' }
  /**
   * Triple fault: also of a guest built for ring 0 whose IDT or stack cannot take an exception. One that has no IDT yet
   * ends with the exception itself.
   */
  | { readonly kind: 'shutdown' }
  /** Internal error, failed entry, EFAULT and what the driver does not know: `reason` is text for a log. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** The outbox is full or a log record on the output buffer is malformed (guest fault). */
  | { readonly kind: 'protocol'; readonly reason: string };

/** What the guest sent while nobody outside was needed, in order. */
export interface OutboxEntry {
  /**
   * 99: one log record popped from the output buffer, undecoded. 102: abort bytes, terminator excluded. 103: UTF-32
   * scalar, u32. 104: a trace batch, undecoded, at most 64 KiB, never the same one twice in a row.
   */
  readonly port: number;
  readonly bytes: Uint8Array;
}

/** Two moments of a run, on the host's clock and on the guest's: what lies between them is mapped in a straight line. */
export interface RunClock {
  /** CLOCK_MONOTONIC of the host, nanoseconds: first entry, last exit. */
  readonly enteredNs: number;
  readonly leftNs: number;
  /** The time stamp counter as the guest reads it, at the same moments. */
  readonly enteredTsc: bigint;
  readonly leftTsc: bigint;
}

export interface RunAnswer {
  readonly exit: DriverExit;
  /** Registers of the guest at the exit (for an exception: of the faulting guest code). */
  readonly regs: GeneralRegisters;
  readonly outbox: readonly OutboxEntry[];
  /** Outbox entries that did not fit their cap and were dropped. */
  readonly outboxDropped: number;
  /** Of a request with `traces`. */
  readonly clock?: RunClock | undefined;
  /** Trace batches outside of guest memory, too large, or beyond the outbox. @defaultValue 0 */
  readonly tracesDropped?: number;
  /**
   * Allocations and frees that a guest built with mem_profile told of (guest-abi 11.3): counted, not kept, since one call
   * has many. @defaultValue 0
   */
  readonly heapEvents?: number;
  readonly phases: {
    /** Request posted → taken by the slot's thread. */
    readonly queuedNs: number;
    readonly restoreNs: number;
    /** First entry → last exit. */
    readonly runNs: number;
    /** The moments of first entry and last exit, CLOCK_MONOTONIC: what lies between the runs of a call is the host's. */
    readonly enteredNs: number;
    readonly leftNs: number;
  };
  /** VM exits of this run. */
  readonly exits: number;
  /** Pages that the restore of this run copied back; 0 without a restore. */
  readonly dirtyPages: number;
}

/** Memory and vCPU state, immutable, shared by every VM made from it. Lives until it and they are closed. */
export interface DriverSnapshot {
  readonly memoryBytes: number;
  /** Idempotent. */
  close(): void;
}

/** The part of a VM that may be called at any time, from any code: it never blocks. */
export interface DriverInterrupt {
  /**
   * Ends the active call: a guest that runs is kicked, one that waits on a host function is not entered again.
   * @returns whether a call was active. A later call is never reached.
   */
  kill(): boolean;
  /** True once the VM is closed. */
  readonly dropped: boolean;
  readonly callActive: boolean;
  readonly generation: bigint;
  /**
   * A number by which other threads of the process find this VM (`drivers/native-shared-kill.ts`), to end the call `sharedCall`.
   * Absent: they have to ask the owner's event loop.
   */
  share?(): number;
  /** The active or latest call, as `share`'s other end names it; 0 before the first. */
  readonly sharedCall?: number;
}

export interface PrimeRequest {
  /** As `RunRequest.entry`. */
  readonly entry: Partial<GeneralRegisters>;
  /**
   * What the snapshot must not depend on, such as the input buffer: 1 to 16 ranges, taken as the whole pages that they
   * lie on. Outside guest memory: MAYFLY_ERR_VM_RANGE.
   */
  readonly untouched: readonly AddressRange[];
  /** Guest time budget in microseconds; 0 or absent: none. A deadline that passes is no error: priming has failed. */
  readonly deadlineUs?: number;
}

export interface DriverVm {
  readonly memoryBytes: number;
  /** Which of the driver's slots runs it, from 0: VMs of one slot run one after the other. Absent: each VM on its own. */
  readonly slot?: number;
  readonly interrupt: DriverInterrupt;
  /**
   * A copy, out of guest memory or one mapped region. @throws MAYFLY_ERR_VM_RANGE, MAYFLY_ERR_VM_BUSY while the guest
   * runs, MAYFLY_ERR_VM_CLOSED.
   */
  read(address: number, lengthBytes: number): Uint8Array;
  /** Same errors as `read`; a mapped region is out of range. */
  write(address: number, bytes: Uint8Array): void;
  /** One at a time: a second one is refused with MAYFLY_ERR_VM_BUSY. Rejects only for faults of host or caller. */
  run(request: RunRequest): Promise<RunAnswer>;
  /** Ends the call that `startsCall` began; harmless without one. */
  endCall(): void;
  /**
   * Takes back a run that begins a call and has provably not begun itself, since its slot still runs another VM: it
   * settles as cancelled by `revoke`, and the VM is as it was before.
   * @returns false when there is no such run, or it has begun: then nothing changes.
   */
  revoke?(): boolean;
  /** Copies memory and vCPU state, and makes it the base that `restore` returns to. */
  snapshot(): Promise<DriverSnapshot>;
  /**
   * Takes the warm snapshot (ring0-guests 3): restores the base, enters the guest, and stops it at its first touch of an
   * `untouched` range, a state that cannot depend on what will be there. That state (memory, registers, extended state,
   * virtual CPU) becomes the base, from which `run({ restore: true, writes })` without an entry executes the touching
   * instruction on its own input.
   * @returns undefined when the guest did anything else first (OUT, a log record, halt, fault, deadline): the VM is back
   * at the base it had, and the plain entry serves. Refused with MAYFLY_ERR_VM_REQUEST when the VM has no base.
   */
  primeSnapshot?(request: PrimeRequest): Promise<DriverSnapshot | undefined>;
  /**
   * For the live check of a clean reset: restores the base, then compares all of guest memory with it, byte for byte.
   * @returns pages that differ: 0 unless a restore missed something. Refused with MAYFLY_ERR_VM_REQUEST without a base.
   */
  compareWithBase?(): Promise<number>;
  /** Returns to a snapshot of a VM of the same plan, and makes it the base. @throws MAYFLY_ERR_VM_SNAPSHOT_MISMATCH. */
  restore(snapshot: DriverSnapshot): Promise<void>;
  /**
   * General registers of the idle guest: at its last exit (behind an OUT that it stands at), at an exception those of the
   * faulting code; of the snapshot after a restore; at first all 0 with RFLAGS 2. IF is what the guest believes it to be.
   * This and the other five are operations: MAYFLY_ERR_VM_BUSY, MAYFLY_ERR_VM_CLOSED.
   */
  registers?(): Promise<GeneralRegisters>;
  /**
   * From where a run without an entry goes on, at whatever exit the guest stands; what was pending there is dropped.
   * Those not named keep their value. Flags that the guest may not change itself are left out, as in an entry. RIP not
   * canonical: MAYFLY_ERR_VM_REQUEST.
   */
  setRegisters?(registers: Partial<GeneralRegisters>): Promise<void>;
  /**
   * Segments, descriptor tables, control registers. Of a guest built for ring 0 (`VmPlan.ring0`) those it believes in,
   * what ring 0 would have seen; of others the CPU's.
   */
  specialRegisters?(): Promise<SpecialRegisters>;
  /**
   * `supervisor`: any state that the CPU takes, else MAYFLY_ERR_VM_REQUEST. A guest built for ring 0: what it could bring
   * about itself (segments that are present, of DPL 0 or null; descriptor tables; CR2; CR4.PGE; FS and GS bases). Any
   * other guest: the bases of FS and GS. A change beyond that would be one of the monitor's state and is refused with
   * MAYFLY_ERR_VM_PRIVILEGE, which names the register; nothing is changed then.
   */
  setSpecialRegisters?(registers: SpecialRegisters): Promise<void>;
  /** x87 and SSE state at the last exit. Every entry resets it (guest-abi 4.3). */
  fpu?(): Promise<FpuState>;
  /** For a run without an entry. Reserved bits of MXCSR: MAYFLY_ERR_VM_REQUEST. */
  setFpu?(state: FpuState): Promise<void>;
  /**
   * Maps memory beside the plan's. A snapshot keeps the list of mapped regions, and a restore brings that list back; the
   * bytes are not copied.
   * @returns what was mapped, in whole pages.
   * @throws MAYFLY_ERR_VM_REGION: not aligned, WRITE or STACK_GUARD asked for, no READ, overlapping another region or
   * guest memory, out of the range of addresses, an empty source or one shorter than `lengthBytes`, a file that cannot
   * be read, more than 32 regions. The VM is as it was.
   */
  mapRegion?(region: RegionRequest): Promise<PlannedRegion>;
  /** @param address where a mapped region starts. @throws MAYFLY_ERR_VM_REGION when none does. */
  unmapRegion?(address: number): Promise<void>;
  /** Regions of `mapRegion` as they are now, ascending. */
  readonly mappedRegions?: readonly PlannedRegion[];
  /**
   * Kills what runs, waits for it, frees all or keeps it clean for the next VM of its image. Idempotent: the same promise.
   * @returns pages that differed from the base after the restore of a VM that was to be kept: above 0, a restore missed
   * something, as `compareWithBase` says it, and the VM was freed.
   */
  close(): Promise<number>;
}

export interface HypervisorDriver {
  readonly name: string;
  /** A new VM with the plan's bytes in place; its vCPU has not run. */
  createVm(plan: VmPlan): Promise<DriverVm>;
  /** A VM that continues from a snapshot: a spare shell where there is one. Its base is the snapshot. */
  createVmFromSnapshot(snapshot: DriverSnapshot): Promise<DriverVm>;
  /** Closes every VM, ends the threads. Idempotent: the same promise. */
  close(): Promise<void>;
}
