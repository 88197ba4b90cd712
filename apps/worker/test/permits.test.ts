import { expect, test } from 'vitest';
import { type Lane, Permits } from '../src/permits.js';

/** Takes a permit; `order` shows when it was granted. */
function take(permits: Permits, lane: Lane, order: string[], name: string): Promise<void> {
  const waiting = permits.acquire(lane) ?? Promise.resolve();
  return waiting.then(() => {
    order.push(name);
  });
}

/** One permit, and it is taken. */
function noPermitLeft(): Permits {
  const permits = new Permits(1);
  expect(permits.acquire('sync')).toBeUndefined();
  return permits;
}

test('permits are granted at once until none is left', async () => {
  const permits = new Permits(2);
  expect(permits.acquire('sync')).toBeUndefined();
  expect(permits.acquire('async')).toBeUndefined();
  const third = permits.acquire('sync');
  expect(third).toBeInstanceOf(Promise);
  expect([permits.inUse, permits.waiting]).toEqual([2, 1]);
  permits.release();
  await third;
  permits.release();
  permits.release();
  expect([permits.inUse, permits.waiting]).toEqual([0, 0]);
});

test('within a lane the first to wait is the first to go on', async () => {
  const permits = noPermitLeft();
  const order: string[] = [];
  const all = ['a', 'b', 'c'].map((name) => take(permits, 'sync', order, name));
  for (let turn = 0; turn < 3; turn += 1) permits.release();
  await Promise.all(all);
  expect(order).toEqual(['a', 'b', 'c']);
});

test('a sync call goes before async ones that wait longer', async () => {
  const permits = noPermitLeft();
  const order: string[] = [];
  const all = [take(permits, 'async', order, 'background'), take(permits, 'sync', order, 'caller')];
  permits.release();
  permits.release();
  await Promise.all(all);
  expect(order).toEqual(['caller', 'background']);
});

test('sync calls without end do not starve an async one', async () => {
  const permits = noPermitLeft();
  const order: string[] = [];
  const all = [take(permits, 'async', order, 'background')];
  for (let index = 0; index < 100; index += 1) all.push(take(permits, 'sync', order, `caller ${index}`));
  for (let turn = 0; turn <= 100; turn += 1) permits.release();
  await Promise.all(all);
  expect(order.indexOf('background')).toBeLessThan(20);
});

test('thousands of waiting calls keep their order', async () => {
  const permits = noPermitLeft();
  const order: string[] = [];
  const all = Array.from({ length: 5000 }, (_, index) => take(permits, 'sync', order, String(index)));
  for (let turn = 0; turn < 5000; turn += 1) permits.release();
  await Promise.all(all);
  expect(order).toEqual(Array.from({ length: 5000 }, (_, index) => String(index)));
});
