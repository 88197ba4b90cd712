import type { NativeSeatKill } from '@mayfly/native';
import type { AddressRange } from '../../driver.js';
import type { SlotWatch, Watched } from './watchdog.js';

/** An operation of a VM that the cell was asked for. */
export interface Operation extends Watched {
  readonly op: number;
  readonly generation: number;
  readonly postedMs: number;
  /** Of its slot; undefined while no slot has it. */
  readonly watch: SlotWatch | undefined;
  /** Reads the completion. @throws MAYFLY_ERR_CELL_PROTOCOL what cannot be true of it. */
  readonly read: (completion: number) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What VMs of one plan have in common. */
export interface Outline {
  readonly memoryBytes: number;
  readonly watch: readonly AddressRange[];
  readonly output: AddressRange | undefined;
}

const MOST_GENERATION = 2 ** 32 - 1;

/** The place of one VM in its cell, and all that is known of the VM without asking. */
export class Seat {
  readonly index: number;
  readonly outline: Outline;
  slot: number | undefined;
  operation: Operation | undefined;
  closing: Operation | undefined;
  closed = false;
  /** The VM is gone. */
  dropped = false;
  /** Names a call between the two sides: never the same twice, also where a run was refused. */
  call = 0;
  /** The generation that `DriverInterrupt` has. */
  calls = 0n;
  callActive = false;
  /** Guest time of the call under way, or of the latest run outside one; undefined: no end. */
  deadlineMs: number | undefined;
  /** For kills by other threads, once its handle was shared. */
  kills: NativeSeatKill | undefined;
  /** The latest call that was killed. */
  killedCall = 0;
  #generation: number;

  /** @param generation beyond those of the seat's VM before this one */
  constructor(index: number, outline: Outline, generation: number) {
    this.index = index;
    this.outline = outline;
    this.#generation = generation;
  }

  get generation(): number {
    return this.#generation;
  }

  nextGeneration(): number {
    this.#generation = this.#generation === MOST_GENERATION ? 1 : this.#generation + 1;
    return this.#generation;
  }
}
