import { channels, formatCancelReport, parseCancelOrder } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { Processor } from './processor.js';

export interface CancelListenerOptions {
  /** A connection of its own: one that subscribes can do nothing else. */
  readonly subscriber: Redis;
  readonly redis: Pick<Redis, 'publish'>;
  readonly workerId: string;
  readonly processor: Pick<Processor, 'cancel'>;
  readonly onError: (error: unknown) => void;
}

/** Obeys orders to cancel, and tells who gave them when the guest has stopped. */
export async function listenForCancels(options: CancelListenerOptions): Promise<void> {
  const { subscriber, redis, workerId, processor, onError } = options;
  const obey = async (message: string) => {
    const order = parseCancelOrder(message);
    if (order === undefined) return;
    const wasHere = await processor.cancel(order.tenant, order.invocationId);
    const report = { orderId: order.orderId, finding: wasHere ? 'ended' : 'none', by: workerId } as const;
    await redis.publish(channels.cancelReports.workers(order.gatewayId), formatCancelReport(report));
  };
  subscriber.on('message', (channel, message) => {
    if (channel === channels.cancel) obey(message).catch(onError);
  });
  await subscriber.subscribe(channels.cancel);
}
