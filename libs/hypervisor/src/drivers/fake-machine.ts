import {
  type AddressRange,
  type DriverExit,
  type GeneralRegisters,
  type MemoryWrite,
  Rights,
  type VmPlan,
} from '../driver.js';
import { PAGE_FAULT, PageFaultBits } from '../exceptions.js';
import { type FpuState, resetFpuState } from '../fpu-state.js';
import { entryRegisters } from '../general-registers.js';
import type { SpecialRegisters } from '../registers.js';
import type { MappedBytes } from './region-check.js';
import { firstSpecialRegisters } from './register-rules.js';

const PAGE_BYTES = 4096;
const GENERAL_PROTECTION = 13;
/** The upper half of the address space is not told from the hole: nothing of a plan is there. */
const FIRST_NON_CANONICAL = 2 ** 47;

/** A fault of the scripted guest, thrown by its memory accesses and by `raise`; becomes an exception exit. */
export class GuestException extends Error {
  readonly vector: number;
  readonly errorCode: bigint;
  readonly address: bigint;

  constructor(vector: number, errorCode: bigint, address: bigint) {
    super(`guest exception ${vector}`);
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }
}

/** What a scripted guest sees: registers, and memory behind the rights of the plan. */
export class FakeMachine {
  readonly plan: VmPlan;
  readonly #memory: Uint8Array;
  readonly #dirty = new Set<number>();
  #untouched: readonly AddressRange[] = [];
  #touched = false;
  regs: GeneralRegisters = entryRegisters();
  special: SpecialRegisters;
  fpu: FpuState = resetFpuState();
  /** The guest was built for ring 0 and has asked where its page tables are: now they are present. */
  seesTables = false;
  /** Beside the plan's memory, ascending. */
  mapped: readonly MappedBytes[] = [];

  constructor(plan: VmPlan, memory = new Uint8Array(plan.memoryBytes)) {
    this.plan = plan;
    this.#memory = memory;
    this.special = firstSpecialRegisters(plan.ring0 !== undefined);
  }

  /** As the guest. @throws GuestException for what the plan does not allow. */
  read(address: number, lengthBytes: number): Uint8Array {
    this.#check(address, lengthBytes, Rights.READ, 0n);
    return this.hostRead(address, lengthBytes);
  }

  /** As the guest. @throws GuestException for what the plan does not allow. */
  write(address: number, bytes: Uint8Array): void {
    this.#check(address, bytes.byteLength, Rights.WRITE, PageFaultBits.WRITE);
    this.hostWrite({ address, bytes });
  }

  readWord(address: number): bigint {
    return new DataView(this.read(address, 8).buffer).getBigUint64(0, true);
  }

  writeWord(address: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.write(address, bytes);
  }

  /** Raises a CPU exception at the current instruction. */
  raise(vector: number, errorCode = 0n, address = 0n): never {
    throw new GuestException(vector, errorCode, address);
  }

  /** From here on an access of the guest to the pages of these ranges faults, and shows in `touched`. */
  guardUntouched(ranges: readonly AddressRange[]): void {
    this.#untouched = ranges;
    this.#touched = false;
  }

  get touched(): boolean {
    return this.#touched;
  }

  /** Whether the guest may execute at RIP. */
  checkFetch(): void {
    this.#check(Number(this.regs.rip), 1, Rights.EXECUTE, PageFaultBits.INSTRUCTION_FETCH);
  }

  hostRead(address: number, lengthBytes: number): Uint8Array {
    const region = this.#mappedAt(address, lengthBytes);
    if (region) return region.bytes.slice(address - region.address, address - region.address + lengthBytes);
    return this.#memory.slice(address, address + lengthBytes);
  }

  hostWrite({ address, bytes }: MemoryWrite): void {
    this.#memory.set(bytes, address);
    const last = Math.floor((address + bytes.byteLength - 1) / PAGE_BYTES);
    for (let page = Math.floor(address / PAGE_BYTES); page <= last; page++) this.#dirty.add(page);
  }

  /** Whether the host may read there: in guest memory, or in one mapped region. */
  shows(address: number, lengthBytes: number): boolean {
    return this.holds(address, lengthBytes) || this.#mappedAt(address, lengthBytes) !== undefined;
  }

  #mappedAt(address: number, lengthBytes: number): MappedBytes | undefined {
    return this.mapped.find(
      (region) => address >= region.address && address + lengthBytes <= region.address + region.lengthBytes,
    );
  }

  holds(address: number, lengthBytes: number): boolean {
    return (
      Number.isSafeInteger(address) &&
      Number.isSafeInteger(lengthBytes) &&
      address >= 0 &&
      lengthBytes >= 0 &&
      address + lengthBytes <= this.#memory.byteLength
    );
  }

  copyMemory(): Uint8Array {
    return this.#memory.slice();
  }

  /** What is in memory is the base that `restoreFrom` counts from. */
  markClean(): void {
    this.#dirty.clear();
  }

  /** @returns pages that were copied back */
  restoreFrom(base: Uint8Array): number {
    for (const page of this.#dirty)
      this.#memory.set(base.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), page * PAGE_BYTES);
    const pages = this.#dirty.size;
    this.#dirty.clear();
    return pages;
  }

  /** @returns pages that differ from `base` */
  differingPages(base: Uint8Array): number {
    let pages = 0;
    for (let at = 0; at < base.byteLength; at += PAGE_BYTES)
      if (
        Buffer.compare(this.#memory.subarray(at, at + PAGE_BYTES), base.subarray(at, at + PAGE_BYTES)) !== 0
      )
        pages++;
    return pages;
  }

  replaceMemory(base: Uint8Array): void {
    this.#memory.set(base);
    this.#dirty.clear();
  }

  #check(address: number, lengthBytes: number, right: number, errorBits: bigint): void {
    if (address >= FIRST_NON_CANONICAL) throw new GuestException(GENERAL_PROTECTION, 0n, 0n);
    for (let at = address; at < address + lengthBytes; at = (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES) {
      const holdsAt = ({ address, lengthBytes }: AddressRange) => at >= address && at < address + lengthBytes;
      const region = this.plan.regions.find(holdsAt) ?? this.mapped.find(holdsAt);
      if (this.#untouched.some((range) => onSamePages(range, at))) {
        this.#touched = true;
        throw new GuestException(PAGE_FAULT, errorBits | 4n, BigInt(at));
      }
      if (this.seesTables && at < (this.plan.ring0?.pageTablesBytes ?? 0) && right !== Rights.EXECUTE)
        continue;
      const rights = region && (region.rights & Rights.STACK_GUARD) === 0 ? region.rights : 0;
      if ((rights & right) !== 0) continue;
      // Bit 0: the page is present, and it is the right that is missing. Bit 2: the guest is at CPL 3.
      throw new GuestException(PAGE_FAULT, errorBits | (rights === 0 ? 0n : 1n) | 4n, BigInt(at));
    }
  }
}

function onSamePages({ address, lengthBytes }: AddressRange, at: number): boolean {
  const page = Math.floor(at / PAGE_BYTES);
  return (
    page >= Math.floor(address / PAGE_BYTES) && page <= Math.floor((address + lengthBytes - 1) / PAGE_BYTES)
  );
}

/** The exit of an exception that nothing in the guest takes. */
export function exceptionExit(exception: GuestException, rip: bigint): DriverExit {
  const { vector, errorCode, address } = exception;
  return { kind: 'exception', vector, errorCode, rip, address };
}
