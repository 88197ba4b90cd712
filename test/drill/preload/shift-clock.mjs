/**
 * Preloaded into a process of ours: its wall clock steps by the milliseconds that the file DRILL_CLOCK holds, whenever
 * they change. Timers and performance.now() go on, as they do when an operator sets a clock.
 */
import { readFileSync } from 'node:fs';

const RealDate = Date;
let shiftMs = 0;

const read = () => {
  try {
    shiftMs = Number(readFileSync(process.env.DRILL_CLOCK, 'utf8')) || 0;
  } catch {
    shiftMs = 0;
  }
};
read();
setInterval(read, 100).unref();

globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + shiftMs);
    else super(...parts);
  }
  static now() {
    return RealDate.now() + shiftMs;
  }
};
