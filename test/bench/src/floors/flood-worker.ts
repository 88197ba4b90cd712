import { availableParallelism } from 'node:os';
import { parseRedisUrl } from '@mayfly/contracts';
import { buildWorker, type WorkerDeps } from '@mayfly/worker';
import { Redis } from 'ioredis';

/**
 * The worker as it is, but for its guests: each call waits for an asynchronous host function and does nothing else, so
 * that what is measured is the order in which calls run.
 */
const [, , url = '', slots = '8', runMs = '5'] = process.argv;
const address = parseRedisUrl(url);
if (address === undefined) throw new TypeError(`not a Redis URL: ${url}`);
const redis = new Redis({ ...address, maxRetriesPerRequest: null });

type Built = Awaited<ReturnType<WorkerDeps['images']['build']>> & { ok: true };
const sandbox: Built['sandbox'] = {
  poisoned: false,
  invoke: async () => {
    await new Promise((resolve) => setTimeout(resolve, Number(runMs)));
    return {
      ...{ outcome: 'succeeded', value: { type: 'void' }, logs: [], logsDropped: 0, printed: '' },
      phases: { queuedUs: 0, restoreUs: 0, runUs: 0, hostUs: Number(runMs) * 1000, resultUs: 0 },
      ...{ exits: 1, hostCalls: 1, hostCallTimes: [], dirtyPages: 0 },
    };
  },
  revoke: () => false,
  close: async () => undefined,
};
const image: Built['image'] = {
  memoryBytes: 1,
  instantiate: async () => ({ ...sandbox }),
  close: () => undefined,
};
const worker = buildWorker({
  config: {
    ...{ workerId: 'flood', slots: Number(slots), isolation: 'thread', callsAhead: 0 },
    ...{ jobsAtOnce: Number(slots), maxSandboxes: 64 * availableParallelism(), maxMemoryBytes: 1e9 },
  },
  redis,
  blobs: undefined as never,
  images: { build: async () => ({ ok: true, image, sandbox: { ...sandbox } }) },
  logger: { info: () => undefined, warn: () => undefined, error: console.error },
} as unknown as WorkerDeps);
await worker.start();
process.send?.('ready');
