import { expect, test } from 'vitest';
import { formatCancelOrder, formatCancelReport, parseCancelOrder, parseCancelReport } from '../src/cancel.js';

const ORDER = {
  orderId: 'ab'.repeat(16),
  gatewayId: 'g-1.local',
  tenant: 'acme',
  invocationId: `inv_${'0'.repeat(32)}`,
};

test('orders and reports are read as they were written', () => {
  expect(parseCancelOrder(formatCancelOrder(ORDER))).toEqual(ORDER);
  const report = { orderId: ORDER.orderId, finding: 'ended', by: 'w1' } as const;
  expect(parseCancelReport(formatCancelReport(report))).toEqual(report);
});

test.each([
  '',
  'x',
  formatCancelOrder({ ...ORDER, tenant: 'A*' }),
  formatCancelOrder({ ...ORDER, gatewayId: 'g 1' }),
  `${formatCancelOrder(ORDER)} more`,
])('what is no order is not taken for one: %s', (text) => {
  expect(parseCancelOrder(text)).toBeUndefined();
});

test.each(['', `${ORDER.orderId} perhaps w1`, 'short ended w1', `${ORDER.orderId} ended w1 more`])(
  'what is no report is not taken for one: %s',
  (text) => {
    expect(parseCancelReport(text)).toBeUndefined();
  },
);
