import { expect, test } from 'vitest';
import { type SlotCall, SlotQueues } from '../../src/pool/slot-queues.js';
import { deferred } from '../helpers/scripted-images.js';

function callOn(slot: number, { hasBegun = false } = {}) {
  const asked = deferred();
  const revoked = deferred();
  const revoke = () => {
    asked.resolve();
    if (!hasBegun) revoked.resolve();
    return !hasBegun;
  };
  const call: SlotCall = { slot, revoke };
  return { call, asked: asked.promise, revoked: revoked.promise };
}

test('a slot counts its calls, and is free without any', () => {
  const slots = new SlotQueues(2);
  const { call: first } = callOn(0);
  const { call: second } = callOn(1);
  slots.enter(first);
  expect([slots.callsOn(0), slots.callsOn(1), slots.callsOn(undefined), slots.hasFree]).toEqual([
    1,
    0,
    0,
    true,
  ]);
  slots.enter(second);
  expect(slots.hasFree).toBe(false);
  slots.leave(first);
  slots.leave(first);
  expect([slots.callsOn(0), slots.hasFree]).toEqual([0, true]);
});

test('a call that waits behind a long one goes to a free slot, the long one stays', async () => {
  const slots = new SlotQueues(2);
  const long = callOn(0);
  const short = callOn(0);
  slots.enter(long.call);
  slots.enter(short.call);
  await short.revoked;
  expect([slots.callsOn(0), slots.callsOn(1)]).toEqual([1, 0]);
});

test('a call that has begun meanwhile stays, and the one behind it goes', async () => {
  const slots = new SlotQueues(2);
  const [long, begun, waiting] = [callOn(0), callOn(0, { hasBegun: true }), callOn(0)];
  for (const { call } of [long, begun, waiting]) slots.enter(call);
  await Promise.all([begun.asked, waiting.revoked]);
  expect(slots.callsOn(0)).toBe(2);
  slots.leave(long.call);
  slots.leave(begun.call);
  expect(slots.callsOn(0)).toBe(0);
});

test('no more calls are taken off their slots than there are free ones', async () => {
  const slots = new SlotQueues(3);
  slots.enter(callOn(0).call);
  slots.enter(callOn(1).call);
  const waiting = [callOn(0), callOn(0), callOn(1)];
  for (const { call } of waiting) slots.enter(call);
  await Promise.race(waiting.map(({ revoked }) => revoked));
  expect(slots.callsOn(0) + slots.callsOn(1)).toBe(4);
  for (const { call } of waiting) slots.leave(call);
});
