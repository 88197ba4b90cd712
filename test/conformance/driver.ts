import { afterAll, beforeAll, describe } from 'vitest';
import { type DriverUnderTest, Kit, type OptionalGroup } from './kit.js';
import { callsSuite } from './suite/calls.js';
import { entriesSuite } from './suite/entries.js';
import { exitsSuite } from './suite/exits.js';
import { lifeSuite } from './suite/life.js';
import { memorySuite } from './suite/memory.js';
import { optionalSuite } from './suite/optional.js';
import { portsSuite } from './suite/ports.js';
import { regionsSuite } from './suite/regions.js';
import { registersSuite } from './suite/registers.js';
import { revocationsSuite } from './suite/revocations.js';
import { ring0Suite } from './suite/ring0.js';
import { snapshotsSuite } from './suite/snapshots.js';
import { tracesSuite } from './suite/traces.js';
import { warmSnapshotsSuite } from './suite/warm-snapshots.js';

export type { DriverUnderTest } from './kit.js';

export interface ConformanceOptions {
  readonly name: string;
  /** A new driver with at least two slots. */
  readonly start: () => Promise<DriverUnderTest>;
  /** Optional members that the driver leaves out; none of them may be there then. @defaultValue none */
  readonly lacks?: readonly OptionalGroup[];
  /** Why the driver cannot run here; the suite is skipped then, with the reason in its name. */
  readonly skipReason?: string | undefined;
}

/** What every hypervisor driver does: the contract of `libs/hypervisor/src/driver.ts` as tests. */
export function conformanceSuite({ name, start, lacks = [], skipReason }: ConformanceOptions): void {
  const title = `the driver contract, ${name}${skipReason === undefined ? '' : ` (skipped: ${skipReason})`}`;
  describe.skipIf(skipReason !== undefined)(title, () => {
    const kit = new Kit(start, lacks);
    beforeAll(() => kit.open());
    afterAll(() => kit.close());

    exitsSuite(kit);
    entriesSuite(kit);
    memorySuite(kit);
    callsSuite(kit);
    snapshotsSuite(kit);
    warmSnapshotsSuite(kit);
    portsSuite(kit);
    tracesSuite(kit);
    ring0Suite(kit);
    optionalSuite(kit);
    if (!lacks.includes('registers')) registersSuite(kit);
    if (!lacks.includes('regions')) regionsSuite(kit);
    if (!lacks.includes('revoke')) revocationsSuite(kit);
    lifeSuite(kit);
  });
}
