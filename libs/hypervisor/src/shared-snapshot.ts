import type { DriverSnapshot } from './driver.js';

/** A driver's snapshot that several sandboxes and handles hold; closed when the last of them lets go. */
export class SharedSnapshot {
  readonly driverSnapshot: DriverSnapshot;
  #holders = 1;

  /** The caller is the first holder. */
  constructor(driverSnapshot: DriverSnapshot) {
    this.driverSnapshot = driverSnapshot;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.driverSnapshot.close();
  }
}
