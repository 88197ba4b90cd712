import { expect, test } from 'vitest';
import { GENERATION_OFFSET } from '../src/generation.js';
import type { FakeGuestFunction } from '../src/testing.js';
import { evolveFake } from './fakes.js';

/** The generation as the guest finds it on the page of its PEB. */
const Generation: FakeGuestFunction = (_args, { machine }) => {
  const peb = machine.plan.regions[1]?.address as number;
  return { ok: true, value: { type: 'bytes', value: machine.read(peb + GENERATION_OFFSET, 32) } };
};

test('clones and calls of one guest are no twins, and a call that keeps state keeps its generation', async () => {
  const sandbox = await evolveFake({ Generation });
  const snapshot = await sandbox.snapshot();
  const clone = await snapshot.instantiate();
  const generation = async (it: typeof sandbox, how: 'call' | 'invoke') => {
    const { value } = await it[how]('Generation', [], 'bytes');
    return Buffer.from(value?.type === 'bytes' ? value.value : []).toString('hex');
  };
  const before = BigInt(Date.now()) * 1_000_000n;
  const first = await generation(sandbox, 'call');
  expect(await generation(sandbox, 'call')).toBe(first);
  const timeBaseNs = Buffer.from(first, 'hex').readBigUInt64LE(24);
  expect(timeBaseNs).toBeGreaterThanOrEqual(before);
  expect(timeBaseNs).toBeLessThanOrEqual(BigInt(Date.now()) * 1_000_000n);

  const all = [first, await generation(clone, 'call')];
  for (let round = 0; round < 300; round++) all.push(await generation(sandbox, 'invoke'));
  await clone.restore(snapshot);
  all.push(await generation(clone, 'call'));
  const parts = (from: number, to: number) => new Set(all.map((hex) => hex.slice(2 * from, 2 * to)));
  expect(parts(0, 16).size).toBe(all.length);
  expect(parts(16, 24).size).toBe(all.length);
  snapshot.close();
});
