import { describe, expect, test } from 'vitest';
import { type Kit, OPTIONAL, type OptionalGroup } from '../kit.js';
import * as programs from '../programs.js';

/** What a driver may leave out is there as a whole, or not at all. */
export function optionalSuite(kit: Kit): void {
  describe('optional members', () => {
    test.each(Object.keys(OPTIONAL) as OptionalGroup[])(
      'of %s are all there, or left out as declared',
      async (group) => {
        const vm = await kit.create(programs.HALT);
        const there = OPTIONAL[group].filter((name) => vm[name] !== undefined);
        expect(there).toEqual(kit.lacks.includes(group) ? [] : [...OPTIONAL[group]]);
      },
    );
  });
}
