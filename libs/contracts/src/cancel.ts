import { isInvocationId, isTenantName } from './names.js';

/** A gateway asks everyone who may hold an invocation to let go of it; sent on `channels.cancel`. */
export interface CancelOrder {
  /** 32 hex digits that tell the answers to this order from those to another. */
  readonly orderId: string;
  /** Who asks; answers go to its channels. */
  readonly gatewayId: string;
  readonly tenant: string;
  readonly invocationId: string;
}

/**
 * What a process says to an order. `none`: it does not hold the call, and will not begin it. `ended`: it held the call,
 * or a caller waited for it here; no guest of it runs any more, and its end is on record or on its way there.
 */
export const CANCEL_FINDINGS = ['none', 'ended'] as const;
export type CancelFinding = (typeof CANCEL_FINDINGS)[number];

export interface CancelReport {
  readonly orderId: string;
  readonly finding: CancelFinding;
  /** Who says so. */
  readonly by: string;
}

const ORDER_ID = /^[0-9a-f]{32}$/;
const PROCESS_ID = /^[A-Za-z0-9._-]{1,100}$/;

export function formatCancelOrder({ orderId, gatewayId, tenant, invocationId }: CancelOrder): string {
  return `${orderId} ${gatewayId} ${tenant} ${invocationId}`;
}

/** Undefined for a text that is no order. */
export function parseCancelOrder(text: string): CancelOrder | undefined {
  const [orderId = '', gatewayId = '', tenant = '', invocationId = '', ...rest] = text.split(' ');
  if (rest.length > 0 || !ORDER_ID.test(orderId) || !PROCESS_ID.test(gatewayId)) return undefined;
  if (!isTenantName(tenant) || !isInvocationId(invocationId)) return undefined;
  return { orderId, gatewayId, tenant, invocationId };
}

export function formatCancelReport({ orderId, finding, by }: CancelReport): string {
  return `${orderId} ${finding} ${by}`;
}

/** Undefined for a text that is no report. */
export function parseCancelReport(text: string): CancelReport | undefined {
  const [orderId = '', finding = '', by = '', ...rest] = text.split(' ');
  if (rest.length > 0 || !ORDER_ID.test(orderId) || by === '') return undefined;
  return isFinding(finding) ? { orderId, finding, by } : undefined;
}

function isFinding(text: string): text is CancelFinding {
  return (CANCEL_FINDINGS as readonly string[]).includes(text);
}
