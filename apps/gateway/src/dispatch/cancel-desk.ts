import {
  type CancelFinding,
  type CancelOrder,
  channels,
  formatCancelOrder,
  formatCancelReport,
  parseCancelOrder,
  parseCancelReport,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { newReplyToken } from '../ids.js';
import { orUnavailable } from '../redis.js';

/**
 * How long an order waits for whoever has heard it. A guest is stopped within milliseconds; what takes longer is a
 * process that stands still.
 */
const REPORTS_WAIT_MS = 3_000;

/** What came of an order. */
export interface CancelReports {
  /** Somebody held the call: its guest has stopped, and its end is on record or on its way there. */
  readonly ended: boolean;
  /** Who has said something. */
  readonly by: ReadonlySet<string>;
  /** Processes that heard the order and have said nothing. */
  readonly missing: number;
}

interface OpenOrder {
  readonly by: Set<string>;
  ended: boolean;
  /** Unknown until Redis has told how many heard it. */
  hearers: number | undefined;
  finish: () => void;
}

export interface CancelDeskDeps {
  readonly redis: Pick<Redis, 'publish'>;
  readonly gatewayId: string;
  /** @defaultValue REPORTS_WAIT_MS */
  readonly reportsWaitMs?: number;
}

/**
 * Orders to cancel, and what became of them. An order goes to every worker and gateway, since only they know which
 * calls they hold: a sync call in flight has no record anywhere. Each says what it found; Redis tells how many heard.
 */
export class CancelDesk {
  /** Further channels that the gateway listens on. */
  readonly channels: readonly string[];
  readonly #deps: CancelDeskDeps;
  readonly #open = new Map<string, OpenOrder>();

  constructor(deps: CancelDeskDeps) {
    this.#deps = deps;
    const { gateways, workers } = channels.cancelReports;
    this.channels = [channels.cancel, gateways(deps.gatewayId), workers(deps.gatewayId)];
  }

  /** Resolves once all who heard the order have said what they found, or their time is over. */
  async order(tenant: string, invocationId: string): Promise<CancelReports> {
    const { redis, gatewayId, reportsWaitMs = REPORTS_WAIT_MS } = this.#deps;
    const orderId = newReplyToken();
    const open: OpenOrder = { by: new Set(), ended: false, hearers: undefined, finish: () => undefined };
    this.#open.set(orderId, open);
    try {
      const message = formatCancelOrder({ orderId, gatewayId, tenant, invocationId });
      open.hearers = await orUnavailable(redis.publish(channels.cancel, message));
      if (!isComplete(open)) await finished(open, reportsWaitMs);
    } finally {
      this.#open.delete(orderId);
    }
    return { ended: open.ended, by: open.by, missing: Math.max(0, open.hearers - open.by.size) };
  }

  /** A message of one of the channels. `obey`: what an order finds here; a rejection is said to nobody. */
  heard(channel: string, message: string, obey: (order: CancelOrder) => Promise<CancelFinding>): void {
    if (channel !== channels.cancel) this.#reported(message);
    else this.#ordered(message, obey).catch(() => undefined);
  }

  async #ordered(message: string, obey: (order: CancelOrder) => Promise<CancelFinding>): Promise<void> {
    const { redis, gatewayId } = this.#deps;
    const order = parseCancelOrder(message);
    if (order === undefined) return;
    const { orderId } = order;
    if (order.gatewayId === gatewayId) {
      this.#count(orderId, gatewayId, 'none');
      return;
    }
    const finding = await obey(order);
    const report = formatCancelReport({ orderId, finding, by: gatewayId });
    await redis.publish(channels.cancelReports.gateways(order.gatewayId), report);
  }

  #reported(message: string): void {
    const report = parseCancelReport(message);
    if (report !== undefined) this.#count(report.orderId, report.by, report.finding);
  }

  #count(orderId: string, by: string, finding: CancelFinding): void {
    const open = this.#open.get(orderId);
    if (open === undefined) return;
    open.by.add(by);
    if (finding === 'ended') open.ended = true;
    if (isComplete(open)) open.finish();
  }
}

/** Who held the call has let go of it, or all have said that they do not. */
function isComplete({ ended, by, hearers }: OpenOrder): boolean {
  return ended || (hearers !== undefined && by.size >= hearers);
}

async function finished(open: OpenOrder, limitMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, limitMs);
    open.finish = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
