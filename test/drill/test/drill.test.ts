import { describe, expect, it } from 'vitest';
import { kvmWorks } from '../../helpers/mayfly.js';
import type { Verdict } from '../src/checker.js';
import { gatewayPoints } from '../src/scenarios/gateway-points.js';
import { kills } from '../src/scenarios/kills.js';

/** Short runs of what `npm run drill` plays at length. */
describe.skipIf(!kvmWorks)('the drill (needs /dev/kvm)', () => {
  it.each([kills, gatewayPoints])(
    'breaks no promise: $name',
    async (scenario) => {
      const { violations, counts } = (await scenario.run({ seconds: 5 })) as Verdict;
      expect(violations).toEqual([]);
      expect(counts).toHaveProperty('async accepted');
    },
    180_000,
  );
});
