import { expect, test } from 'vitest';
import { CancelOrders } from '../src/cancel-orders.js';

test('of many orders the oldest are forgotten, one that was repeated is not', () => {
  const orders = new CancelOrders();
  orders.add('acme', 'inv_first');
  orders.add('acme', 'inv_second');
  orders.add('acme', 'inv_first');
  for (let n = 0; n < 9_999; n += 1) orders.add('acme', `inv_${n}`);
  expect([orders.has('acme', 'inv_first'), orders.has('acme', 'inv_second')]).toEqual([true, false]);
});
