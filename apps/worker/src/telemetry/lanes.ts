import { ASYNC_QUEUE, SYNC_QUEUE } from '@mayfly/contracts';

/** A lane's queue, as `messaging.destination.name`. */
export const QUEUES = { sync: SYNC_QUEUE, async: ASYNC_QUEUE } as const;
/** What caused the invocations of a lane, as `faas.trigger`. */
export const TRIGGERS = { sync: 'http', async: 'pubsub' } as const;
