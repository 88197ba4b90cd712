import { afterAll, beforeAll, describe } from 'vitest';
import { type DriverUnderTest, Kit } from './kit.js';
import { callsSuite } from './suite/calls.js';
import { entriesSuite } from './suite/entries.js';
import { exitsSuite } from './suite/exits.js';
import { lifeSuite } from './suite/life.js';
import { memorySuite } from './suite/memory.js';
import { portsSuite } from './suite/ports.js';
import { snapshotsSuite } from './suite/snapshots.js';
import { warmSnapshotsSuite } from './suite/warm-snapshots.js';

export type { DriverUnderTest } from './kit.js';

export interface ConformanceOptions {
  readonly name: string;
  /** A new driver with at least two slots. */
  readonly start: () => Promise<DriverUnderTest>;
  /** Why the driver cannot run here; the suite is skipped then, with the reason in its name. */
  readonly skipReason?: string | undefined;
}

/** What every hypervisor driver does: the contract of `libs/hypervisor/src/driver.ts` as tests. */
export function conformanceSuite({ name, start, skipReason }: ConformanceOptions): void {
  const title = `the driver contract, ${name}${skipReason === undefined ? '' : ` (skipped: ${skipReason})`}`;
  describe.skipIf(skipReason !== undefined)(title, () => {
    const kit = new Kit(start);
    beforeAll(() => kit.open());
    afterAll(() => kit.close());

    exitsSuite(kit);
    entriesSuite(kit);
    memorySuite(kit);
    callsSuite(kit);
    snapshotsSuite(kit);
    warmSnapshotsSuite(kit);
    portsSuite(kit);
    lifeSuite(kit);
  });
}
