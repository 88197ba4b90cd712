import { expect, test } from 'vitest';
import { type Lane, Slots } from '../src/slots.js';

/** Takes a permit; `order` shows when it was granted. */
function take(slots: Slots, lane: Lane, order: string[], name: string): Promise<void> {
  const waiting = slots.acquire(lane) ?? Promise.resolve();
  return waiting.then(() => {
    order.push(name);
  });
}

/** One permit, and it is taken. */
function busySlot(): Slots {
  const slots = new Slots(1);
  expect(slots.acquire('sync')).toBeUndefined();
  return slots;
}

test('permits are granted at once until none is left', async () => {
  const slots = new Slots(2);
  expect(slots.acquire('sync')).toBeUndefined();
  expect(slots.acquire('async')).toBeUndefined();
  const third = slots.acquire('sync');
  expect(third).toBeInstanceOf(Promise);
  expect([slots.inUse, slots.waiting]).toEqual([2, 1]);
  slots.release();
  await third;
  slots.release();
  slots.release();
  expect([slots.inUse, slots.waiting]).toEqual([0, 0]);
});

test('within a lane the first to wait is the first to go on', async () => {
  const slots = busySlot();
  const order: string[] = [];
  const all = ['a', 'b', 'c'].map((name) => take(slots, 'sync', order, name));
  for (let turn = 0; turn < 3; turn += 1) slots.release();
  await Promise.all(all);
  expect(order).toEqual(['a', 'b', 'c']);
});

test('a sync call goes before async ones that wait longer', async () => {
  const slots = busySlot();
  const order: string[] = [];
  const all = [take(slots, 'async', order, 'background'), take(slots, 'sync', order, 'caller')];
  slots.release();
  slots.release();
  await Promise.all(all);
  expect(order).toEqual(['caller', 'background']);
});

test('sync calls without end do not starve an async one', async () => {
  const slots = busySlot();
  const order: string[] = [];
  const all = [take(slots, 'async', order, 'background')];
  for (let index = 0; index < 100; index += 1) all.push(take(slots, 'sync', order, `caller ${index}`));
  for (let turn = 0; turn <= 100; turn += 1) slots.release();
  await Promise.all(all);
  expect(order.indexOf('background')).toBeLessThan(20);
});

test('thousands of waiting calls keep their order', async () => {
  const slots = busySlot();
  const order: string[] = [];
  const all = Array.from({ length: 5000 }, (_, index) => take(slots, 'sync', order, String(index)));
  for (let turn = 0; turn < 5000; turn += 1) slots.release();
  await Promise.all(all);
  expect(order).toEqual(Array.from({ length: 5000 }, (_, index) => String(index)));
});
