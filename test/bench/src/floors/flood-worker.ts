import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRedisUrl } from '@mayfly/contracts';
import { createKvmDriver, loadSandbox } from '@mayfly/hypervisor';
import { buildWorker, type WorkerDeps } from '@mayfly/worker';
import { Redis } from 'ioredis';

/**
 * The worker as it is, with guests on KVM: RelayVoid of the guest `hostcalls` calls an asynchronous host function that
 * takes `runMs` and does nothing else, so that what is measured is the order in which calls run. The tenants share one
 * driver, as no configuration of the worker lets them: they are to share its slots.
 */
const [, , url = '', slots = '8', runMs = '5', elfFile = ''] = process.argv;
const address = parseRedisUrl(url);
if (address === undefined) throw new TypeError(`not a Redis URL: ${url}`);
const redis = new Redis({ ...address, maxRetriesPerRequest: null });
const driver = await createKvmDriver({ slots: Number(slots) });
const elf = await readFile(elfFile);

const images: WorkerDeps['images'] = {
  async build({ memory }) {
    const loaded = await loadSandbox(driver, elf, { memory });
    loaded.registerHostFunction('HostVoid', { params: [], returns: 'void' }, () => delay(Number(runMs)));
    const sandbox = await loaded.evolve();
    return { ok: true, image: await sandbox.snapshot(), sandbox };
  },
};
const worker = buildWorker({
  config: {
    ...{ workerId: 'flood', slots: Number(slots), isolation: 'thread', callsAhead: 0 },
    ...{ jobsAtOnce: Number(slots), maxSandboxes: 64 * availableParallelism(), maxMemoryBytes: 1e9 },
  },
  redis,
  blobs: undefined as never,
  images,
  logger: { info: () => undefined, warn: () => undefined, error: console.error },
} as unknown as WorkerDeps);
await worker.start();
process.send?.('ready');
