import { expect, test } from 'vitest';
import { planEvictions, type VersionUse } from '../../src/pool/pool-policy.js';

const version = (key: string, idle: number, leased = 0, memoryBytes = 10): VersionUse => ({
  key,
  idle,
  leased,
  memoryBytes,
});
const ONE = { sandboxes: 1, memoryBytes: 10 };

test('what fits evicts nothing', () => {
  const plan = planEvictions([version('a', 1)], { sandboxes: 1, memoryBytes: 20 }, ONE, {
    maxSandboxes: 2,
    maxMemoryBytes: 30,
  });
  expect(plan).toEqual({ fits: true, evictions: [] });
});

test('the idle sandbox of the version that was used longest ago goes first', () => {
  const plan = planEvictions([version('old', 1), version('new', 1)], { sandboxes: 2, memoryBytes: 40 }, ONE, {
    maxSandboxes: 2,
    maxMemoryBytes: 1000,
  });
  expect(plan).toEqual({ fits: true, evictions: [{ key: 'old', sandboxes: 1, image: false }] });
});

test('several versions give sandboxes when one has not enough', () => {
  const plan = planEvictions(
    [version('a', 1), version('b', 3)],
    { sandboxes: 4, memoryBytes: 0 },
    { sandboxes: 3, memoryBytes: 0 },
    { maxSandboxes: 4, maxMemoryBytes: 1000 },
  );
  expect(plan.evictions).toEqual([
    { key: 'a', sandboxes: 1, image: false },
    { key: 'b', sandboxes: 2, image: false },
  ]);
});

test('images go only when idle sandboxes do not make room', () => {
  const plan = planEvictions(
    [version('old', 0), version('new', 1)],
    { sandboxes: 1, memoryBytes: 30 },
    { sandboxes: 1, memoryBytes: 20 },
    { maxSandboxes: 10, maxMemoryBytes: 30 },
  );
  expect(plan).toEqual({
    fits: true,
    evictions: [
      { key: 'new', sandboxes: 1, image: false },
      { key: 'old', sandboxes: 0, image: true },
    ],
  });
});

test('a version with a leased sandbox keeps its image', () => {
  const plan = planEvictions(
    [version('busy', 0, 1), version('free', 0)],
    { sandboxes: 1, memoryBytes: 30 },
    ONE,
    { maxSandboxes: 10, maxMemoryBytes: 30 },
  );
  expect(plan).toEqual({ fits: true, evictions: [{ key: 'free', sandboxes: 0, image: true }] });
});

test('closing images does not lower the number of sandboxes', () => {
  const plan = planEvictions([version('a', 0)], { sandboxes: 2, memoryBytes: 30 }, ONE, {
    maxSandboxes: 2,
    maxMemoryBytes: 1000,
  });
  expect(plan).toEqual({ fits: false, evictions: [] });
});

test('what cannot fit is told', () => {
  const plan = planEvictions(
    [version('a', 1)],
    { sandboxes: 1, memoryBytes: 20 },
    { sandboxes: 1, memoryBytes: 99 },
    {
      maxSandboxes: 10,
      maxMemoryBytes: 50,
    },
  );
  expect(plan.fits).toBe(false);
});
