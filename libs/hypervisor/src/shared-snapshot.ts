import type { DriverSnapshot } from './driver.js';
import type { BaseRegisters } from './live-check.js';

/**
 * One state of a guest that several sandboxes and handles hold; closed when the last of them lets go.
 *
 * `plain`: the guest is at rest, a call enters its dispatch function. `warm`: the guest has been through the beginning
 * of a call, which is the same in every call, and stands before its first touch of the input (ring0-guests 3).
 */
export class SharedSnapshot {
  readonly plain: DriverSnapshot;
  readonly warm: DriverSnapshot | undefined;
  /** Registers of `start`, for the live check. */
  readonly registers: BaseRegisters;
  #holders = 1;

  /** The caller is the first holder. */
  constructor(plain: DriverSnapshot, warm: DriverSnapshot | undefined, registers: BaseRegisters) {
    this.plain = plain;
    this.warm = warm;
    this.registers = registers;
  }

  /** What `invoke` starts from. */
  get start(): DriverSnapshot {
    return this.warm ?? this.plain;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders > 0) return;
    this.plain.close();
    this.warm?.close();
  }
}
