import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { defineErrors, type InvocationItem } from '@mayfly/contracts';
import { localTelemetry } from '@mayfly/telemetry';
import { expect, test } from 'vitest';
import type { JobView } from '../src/job-view.js';
import { Permits } from '../src/permits.js';
import { SandboxPool } from '../src/pool/sandbox-pool.js';
import { Processor } from '../src/processor.js';
import type { Settlement } from '../src/reply/delivery.js';
import { CallTelemetry } from '../src/telemetry/call-telemetry.js';
import { functionRef, invocationItem, invocationJob, replyToken } from './helpers/jobs.js';
import { deferred, report, ScriptedImages, untilKilled } from './helpers/scripted-images.js';

const fail = defineErrors({
  TEST_HOST: { status: 503, fault: 'host', retryable: true, poisons: true, title: 'Host' },
  TEST_FINAL: { status: 503, fault: 'host', retryable: false, poisons: true, title: 'Final' },
  TEST_CALLER: { status: 413, fault: 'caller', retryable: false, poisons: false, title: 'Too large' },
});

class CollectedDelivery {
  readonly settlements: Settlement[] = [];
  readonly known = new Set<string>();
  /** Settlements so far, whenever replies were let go. */
  readonly left: number[] = [];
  isBroken = false;
  lookups = 0;

  async deliver(settlement: Settlement): Promise<void> {
    if (this.isBroken) throw new Error('Redis');
    this.settlements.push(settlement);
  }

  tellLost(settlement: Settlement): Promise<void> {
    return this.deliver(settlement);
  }

  leave(): void {
    this.left.push(this.settlements.length);
  }

  async settled(_tenant: string, ids: readonly string[]): Promise<Set<string>> {
    this.lookups += 1;
    return new Set(ids.filter((id) => this.known.has(id)));
  }

  get outcomes(): Record<string, string> {
    return Object.fromEntries(this.settlements.map(({ record }) => [record.invocationId, record.outcome]));
  }
}

function setUp(options: { permits?: number } = {}) {
  const images = new ScriptedImages();
  const delivery = new CollectedDelivery();
  const hostFaults: unknown[] = [];
  const permits = new Permits(options.permits ?? 2);
  const processor = new Processor({
    workerId: 'w1',
    kvm: 'software',
    pool: new SandboxPool(images, { limits: { maxSandboxes: 100, maxMemoryBytes: 1_000_000 }, slots: 2 }),
    permits,
    blobs: new LocalBlobStore(join(tmpdir(), 'mf-no-blobs')),
    delivery,
    telemetry: new CallTelemetry(localTelemetry('worker'), (error) => hostFaults.push(error)),
    onHostFault: (error) => hostFaults.push(error),
  });
  return { images, delivery, hostFaults, permits, processor };
}

function view(items: readonly InvocationItem[], overrides: Partial<JobView> = {}): JobView {
  return { id: '1', lane: 'sync', data: invocationJob(items), attempt: 1, isLastAttempt: true, ...overrides };
}

const running = () => new AbortController().signal;

test('what a job gathered is let go once, when its last call has ended', async () => {
  const { delivery, processor } = setUp();
  const items = ['a', 'b', 'c'].map((entrypoint) => invocationItem({ entrypoint }));
  await processor.process(view(items), running());
  expect(delivery.left).toEqual([3]);
});

test('each item of a job is settled on its own, whatever became of the others', async () => {
  const { images, delivery, processor } = setUp();
  const items = ['ok', 'guest', 'host', 'ok'].map((entrypoint) => invocationItem({ entrypoint }));
  images.script = ({ entrypoint }) => {
    if (entrypoint === 'host') throw fail('TEST_HOST', 'no');
    return entrypoint === 'ok' ? report() : report({ outcome: 'guest-error', detail: { message: 'mine' } });
  };
  expect(await processor.process(view(items), running())).toBe('done');
  expect(items.map(({ invocationId }) => delivery.outcomes[invocationId])).toEqual([
    'succeeded',
    'guest-error',
    'host-fault',
    'succeeded',
  ]);
});

test('a record says what ran where', async () => {
  const { delivery, processor } = setUp();
  const token = replyToken();
  const item = invocationItem({ replyToken: token });
  await processor.process(view([item]), running());
  expect(delivery.settlements).toMatchObject([
    {
      replyToken: token,
      record: {
        v: 1,
        invocationId: item.invocationId,
        tenant: 'acme',
        function: 'greet',
        version: 1,
        entrypoint: 'Greet',
        outcome: 'succeeded',
        result: { kind: 'inline', value: { type: 'string', value: 'hello' } },
        usage: { exits: 1, dirtyPages: 5, source: 'boot' },
        attempt: 1,
        workerId: 'w1',
      },
    },
  ]);
});

test('the guest gets its arguments, its time and its context', async () => {
  const { images, processor } = setUp();
  const calls: unknown[] = [];
  images.script = ({ args, options: { signal: _, ...options } }) => {
    calls.push({ args, options });
    return report();
  };
  const item = invocationItem({ timeoutMs: 77 });
  await processor.process(view([item]), running());
  expect(calls).toEqual([
    {
      args: [{ type: 'string', value: 'you' }],
      options: {
        timeoutMs: 77,
        context: { tenant: 'acme', function: 'greet', version: 1, invocationId: item.invocationId },
        trace: false,
      },
    },
  ]);
});

test('no more calls run at once than there are permits', async () => {
  const { images, processor, permits } = setUp({ permits: 2 });
  let most = 0;
  let now = 0;
  images.script = async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    return report();
  };
  await processor.process(view(Array.from({ length: 16 }, () => invocationItem())), running());
  expect(most).toBe(2);
  expect(permits.inUse).toBe(0);
});

test('a sandbox that met a host fault is thrown away, its permit is not lost', async () => {
  const { images, processor, permits } = setUp();
  images.script = () => {
    throw new Error('native');
  };
  await processor.process(view([invocationItem()]), running());
  expect(images.sandboxes[0]?.isClosed).toBe(true);
  expect(permits.inUse).toBe(0);
});

test('an unknown error shows no more than that the host failed', async () => {
  const { images, delivery, hostFaults, processor } = setUp();
  images.script = () => {
    throw new Error('secret path');
  };
  await processor.process(view([invocationItem()]), running());
  expect(JSON.stringify(delivery.settlements)).not.toContain('secret');
  expect(String(hostFaults[0])).toContain('secret path');
});

test('a call that is refused before it runs is no host fault, and costs no sandbox', async () => {
  const { images, delivery, hostFaults, processor } = setUp();
  images.script = () => {
    throw fail('TEST_CALLER', 'the call has 9 bytes');
  };
  const item = invocationItem();
  await processor.process(view([item], { lane: 'async', isLastAttempt: false }), running());
  expect(delivery.settlements).toMatchObject([
    { record: { outcome: 'protocol', detail: { message: 'Too large: the call has 9 bytes' } } },
  ]);
  expect(images.openSandboxes).toBe(1);
  expect(hostFaults).toEqual([]);
});

test('a call that waits behind a long one is taken off its slot and made again on another', async () => {
  const { images, delivery, processor } = setUp();
  images.slots = [0, 0, 1];
  const gate = deferred();
  const heldUp = invocationItem();
  images.script = async ({ options, sandbox }) => {
    if (sandbox.slot === 1) return report();
    if (options.context.invocationId !== heldUp.invocationId) {
      sandbox.isWaiting = false;
      await gate.promise;
      return report();
    }
    await sandbox.revoked.promise;
    return report({ outcome: 'canceled', exits: 0 });
  };
  const long = processor.process(view([invocationItem()]), running());
  await processor.process(view([heldUp]), running());
  expect(delivery.outcomes).toEqual({ [heldUp.invocationId]: 'succeeded' });
  expect(images.sandboxes).toHaveLength(3);
  gate.resolve();
  await long;
  expect(images.openSandboxes).toBe(3);
});

test('a version that cannot be initialised gives its failure to every call', async () => {
  const { images, delivery, processor } = setUp();
  images.onBuild = async () => ({
    ok: false,
    failure: { outcome: 'aborted', detail: { message: 'no' }, logTail: 'last words' },
  });
  const items = [invocationItem(), invocationItem()];
  await processor.process(view(items), running());
  expect(delivery.settlements).toHaveLength(2);
  for (const { record } of delivery.settlements)
    expect(record).toMatchObject({ outcome: 'aborted', detail: { message: 'no' }, logTail: 'last words' });
});

test('a bad item is settled as a host fault, the good one beside it runs', async () => {
  const { delivery, processor } = setUp();
  const good = invocationItem();
  const bad = { ...invocationItem(), timeoutMs: -1 };
  await processor.process(view([good, bad]), running());
  expect(delivery.outcomes).toEqual({ [good.invocationId]: 'succeeded', [bad.invocationId]: 'host-fault' });
});

test('a job that nobody can read fails by name', async () => {
  const { processor } = setUp();
  await expect(processor.process(view([], { data: { v: 9 } }), running())).rejects.toMatchObject({
    code: 'MAYFLY_ERR_JOB_VERSION',
  });
});

test('a call that requires another kind of KVM is refused by name, and nothing of its version is run', async () => {
  const { images, delivery, hostFaults, processor } = setUp();
  const job = invocationJob([invocationItem()], {
    v: 2,
    function: functionRef({ requiresKvm: 'hardware' }),
  });
  await processor.process(view([], { data: job }), running());
  expect(images.builds).toBe(0);
  expect(hostFaults).toMatchObject([
    { code: 'MAYFLY_ERR_KVM_KIND', details: { required: 'hardware', kvm: 'software' } },
  ]);
  expect(delivery.settlements).toMatchObject([
    {
      record: {
        outcome: 'host-fault',
        detail: { message: expect.stringContaining('MAYFLY_ERR_KVM_KIND') },
      },
    },
  ]);
});

test('an async call that requires another kind of KVM is left for another worker while it has attempts', async () => {
  const { images, delivery, processor } = setUp();
  const data = invocationJob([invocationItem()], {
    v: 2,
    function: functionRef({ requiresKvm: 'hardware' }),
  });
  await expect(
    processor.process(view([], { data, lane: 'async', isLastAttempt: false }), running()),
  ).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
  expect([images.builds, delivery.settlements.length]).toEqual([0, 0]);
});

test('a call that requires the kind of KVM that is here is run', async () => {
  const { delivery, processor } = setUp();
  const item = invocationItem();
  const data = invocationJob([item], { v: 2, function: functionRef({ requiresKvm: 'software' }) });
  await processor.process(view([], { data }), running());
  expect(delivery.outcomes).toEqual({ [item.invocationId]: 'succeeded' });
});

test('an expired call is skipped and nothing is written: its gateway has done so', async () => {
  const { images, delivery, processor } = setUp();
  const end = await processor.process(view([invocationItem({ expiresAtMs: Date.now() - 1 })]), running());
  expect(end).toBe('done');
  expect([images.builds, delivery.settlements.length]).toEqual([0, 0]);
});

test('a call that expires while it waits for a permit is skipped', async () => {
  const { images, delivery, processor } = setUp({ permits: 1 });
  const gate = deferred();
  images.script = async () => {
    await gate.promise;
    return report();
  };
  const expiring = invocationItem({ expiresAtMs: Date.now() + 30 });
  const all = processor.process(view([invocationItem(), expiring]), running());
  setTimeout(gate.resolve, 60);
  await all;
  expect(delivery.outcomes).not.toHaveProperty(expiring.invocationId);
});

test('an async host fault is left to another attempt, the rest of its job is settled', async () => {
  const { images, delivery, processor } = setUp();
  const items = ['ok', 'host'].map((entrypoint) => invocationItem({ entrypoint }));
  images.script = ({ entrypoint }) => {
    if (entrypoint === 'host') throw fail('TEST_HOST', 'no');
    return report();
  };
  const job = view(items, { lane: 'async', isLastAttempt: false });
  await expect(processor.process(job, running())).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
  expect(Object.values(delivery.outcomes)).toEqual(['succeeded']);
});

test('a retried job runs only what has no record', async () => {
  const { images, delivery, processor } = setUp();
  const items = [invocationItem(), invocationItem()];
  delivery.known.add(items[0]?.invocationId ?? '');
  await processor.process(view(items, { lane: 'async', attempt: 2 }), running());
  expect(Object.keys(delivery.outcomes)).toEqual([items[1]?.invocationId]);
  expect(images.sandboxes).toHaveLength(1);
});

test('a first attempt asks for no records', async () => {
  const { delivery, processor } = setUp();
  await processor.process(view([invocationItem()]), running());
  expect(delivery.lookups).toBe(0);
});

test.each([
  ['a curable host fault on the last attempt', 'TEST_HOST', true, 'fails'],
  ['an incurable one on the first', 'TEST_FINAL', false, 'completes'],
] as const)('%s is the outcome; the job %3$s', async (_name, code, isLastAttempt, jobEnd) => {
  const { images, delivery, processor } = setUp();
  images.script = () => {
    throw fail(code, 'no');
  };
  const end = processor.process(view([invocationItem()], { lane: 'async', isLastAttempt }), running());
  if (jobEnd === 'fails') await expect(end).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
  else expect(await end).toBe('done');
  expect(Object.values(delivery.outcomes)).toEqual(['host-fault']);
});

test('an async call whose record cannot be kept is not done', async () => {
  const { delivery, processor } = setUp();
  delivery.isBroken = true;
  const job = view([invocationItem()], { lane: 'async', isLastAttempt: false });
  await expect(processor.process(job, running())).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
});

test('on drain a running sync call is answered, an async one goes back to the queue', async () => {
  for (const lane of ['sync', 'async'] as const) {
    const { images, delivery, processor } = setUp();
    const started = deferred();
    images.script = ({ options }) => {
      started.resolve();
      return untilKilled(options);
    };
    const controller = new AbortController();
    const end = processor.process(view([invocationItem()], { lane }), controller.signal);
    await started.promise;
    controller.abort('drain');
    expect(await end).toBe(lane === 'sync' ? 'done' : 'requeue');
    expect(Object.values(delivery.outcomes)).toEqual(lane === 'sync' ? ['host-fault'] : []);
  }
});

test('a call that ended before the drain killed it keeps its outcome', async () => {
  const { images, delivery, processor } = setUp();
  const controller = new AbortController();
  images.script = () => {
    controller.abort('drain');
    return report();
  };
  expect(await processor.process(view([invocationItem()], { lane: 'async' }), controller.signal)).toBe(
    'done',
  );
  expect(Object.values(delivery.outcomes)).toEqual(['succeeded']);
});

test('a job that went to another worker is killed and writes nothing more', async () => {
  const { images, delivery, processor } = setUp({ permits: 1 });
  const started = deferred();
  images.script = ({ options }) => {
    started.resolve();
    return untilKilled(options);
  };
  const controller = new AbortController();
  const job = view([invocationItem(), invocationItem()], { lane: 'async' });
  const end = processor.process(job, controller.signal);
  await started.promise;
  controller.abort('lost');
  await expect(end).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_LOST' });
  expect(delivery.settlements).toEqual([]);
  expect(images.sandboxes).toHaveLength(1);
});

test('a job that the queue gave up is settled, but for what has a record', async () => {
  const { images, delivery, processor } = setUp();
  const items = [invocationItem(), invocationItem()];
  delivery.known.add(items[0]?.invocationId ?? '');
  await processor.settleLost(view(items), 'the worker died');
  expect(delivery.settlements).toMatchObject([
    {
      record: {
        invocationId: items[1]?.invocationId,
        outcome: 'host-fault',
        detail: { message: 'the worker died' },
      },
    },
  ]);
  expect(images.builds).toBe(0);
});

test('a running call that is canceled ends as canceled once its guest has stopped, its neighbour runs on', async () => {
  const { images, delivery, processor } = setUp();
  const items = ['Spin', 'Slow'].map((entrypoint) => invocationItem({ entrypoint }));
  const [spin, slow] = items as [InvocationItem, InvocationItem];
  const gate = deferred();
  const started = deferred();
  let stopped = false;
  images.script = async ({ entrypoint, options }) => {
    if (entrypoint === 'Slow') {
      await gate.promise;
      return report();
    }
    started.resolve();
    const killed = await untilKilled(options);
    stopped = true;
    return killed;
  };
  const job = processor.process(view(items), running());
  await started.promise;
  expect(await processor.cancel('acme', spin.invocationId)).toBe(true);
  expect(stopped).toBe(true);
  expect(delivery.outcomes).toEqual({ [spin.invocationId]: 'canceled' });
  gate.resolve();
  expect(await job).toBe('done');
  expect(delivery.outcomes).toEqual({ [spin.invocationId]: 'canceled', [slow.invocationId]: 'succeeded' });
});

test('a call that waits for its turn here is canceled at once, and never begins', async () => {
  const { images, delivery, processor } = setUp({ permits: 1 });
  const gate = deferred();
  const begun: string[] = [];
  images.script = async ({ options }) => {
    begun.push(options.context.invocationId);
    await gate.promise;
    return report();
  };
  const items = [invocationItem(), invocationItem()];
  const [first, second] = items as [InvocationItem, InvocationItem];
  const job = processor.process(view(items), running());
  expect(await processor.cancel('acme', second.invocationId)).toBe(true);
  expect(delivery.outcomes).toEqual({ [second.invocationId]: 'canceled' });
  gate.resolve();
  await job;
  expect(begun).toEqual([first.invocationId]);
  expect(delivery.settlements).toHaveLength(2);
});

test('a call that was canceled before it came here is not begun', async () => {
  const { images, delivery, processor } = setUp();
  const item = invocationItem();
  expect(await processor.cancel('acme', item.invocationId)).toBe(false);
  expect(await processor.process(view([item], { lane: 'async' }), running())).toBe('done');
  expect(delivery.outcomes).toEqual({ [item.invocationId]: 'canceled' });
  expect(images.builds).toBe(0);
});

test("an order for another tenant's call changes nothing", async () => {
  const { delivery, processor } = setUp();
  const item = invocationItem();
  expect(await processor.cancel('other', item.invocationId)).toBe(false);
  await processor.process(view([item]), running());
  expect(delivery.outcomes).toEqual({ [item.invocationId]: 'succeeded' });
});

test('a call that ended in the moment of the order keeps its outcome, and has one end', async () => {
  const { images, delivery, processor } = setUp();
  const item = invocationItem();
  let canceled: Promise<boolean> | undefined;
  images.script = async () => {
    canceled = processor.cancel('acme', item.invocationId);
    return report();
  };
  await processor.process(view([item]), running());
  expect(await canceled).toBe(true);
  expect(delivery.settlements.map(({ record }) => record.outcome)).toEqual(['succeeded']);
});
