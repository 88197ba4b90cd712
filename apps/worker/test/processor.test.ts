import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { DEFAULT_SETTINGS, defineErrors, type InvocationItem } from '@mayfly/contracts';
import type { EndedAttempt } from '@mayfly/queue';
import { localTelemetry } from '@mayfly/telemetry';
import { expect, test } from 'vitest';
import type { JobView } from '../src/job-view.js';
import { Permits } from '../src/permits.js';
import { SandboxPool } from '../src/pool/sandbox-pool.js';
import { Processor } from '../src/processor.js';
import type { Settlement } from '../src/reply/delivery.js';
import { CallTelemetry } from '../src/telemetry/call-telemetry.js';
import { functionRef, invocationItem, invocationJob, replyToken } from './helpers/jobs.js';
import { attemptsOver, NotedAttempts } from './helpers/noted-attempts.js';
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
  const attempts = new NotedAttempts();
  const permits = new Permits(options.permits ?? 2);
  const processor = new Processor({
    workerId: 'w1',
    kvm: 'software',
    pool: new SandboxPool(images, { limits: { maxSandboxes: 100, maxMemoryBytes: 1_000_000 }, slots: 2 }),
    permits,
    blobs: new LocalBlobStore(join(tmpdir(), 'mf-no-blobs')),
    delivery,
    attempts: attemptsOver(attempts),
    telemetry: new CallTelemetry(localTelemetry('worker'), (error) => hostFaults.push(error)),
    onHostFault: (error) => hostFaults.push(error),
  });
  return { images, delivery, attempts, hostFaults, permits, processor };
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
  await processor.process(view(items), running());
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
        context: {
          tenant: 'acme',
          function: 'greet',
          version: 1,
          invocationId: item.invocationId,
          attempt: 1,
        },
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
  const { images, delivery, attempts, processor } = setUp();
  const data = invocationJob([invocationItem()], {
    v: 2,
    function: functionRef({ requiresKvm: 'hardware' }),
  });
  await processor.process(view([], { data, lane: 'async' }), running());
  expect([images.builds, delivery.settlements.length]).toEqual([0, 0]);
  expect(attempts.putOffs.map(({ head }) => JSON.parse(`${head}]}`).v)).toEqual([2]);
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
  await processor.process(view([invocationItem({ expiresAtMs: Date.now() - 1 })]), running());
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

test('an async host fault is put off to another attempt, the rest of its job is settled', async () => {
  const { images, delivery, attempts, processor } = setUp();
  const items = ['ok', 'host'].map((entrypoint) => invocationItem({ entrypoint }));
  images.script = ({ entrypoint }) => {
    if (entrypoint === 'host') throw fail('TEST_HOST', 'no');
    return report();
  };
  await processor.process(view(items, { lane: 'async' }), running());
  expect(Object.values(delivery.outcomes)).toEqual(['succeeded']);
  expect(attempts.putOffs).toMatchObject([
    {
      invocationId: items[1]?.invocationId,
      faults: 1,
      ended: { attempt: 1, workerId: 'w1', version: 1, outcome: 'host-fault', detail: 'Host (TEST_HOST)' },
    },
  ]);
  const [{ head, item, tail }] = attempts.putOffs as [EndedAttempt];
  const next = JSON.parse(`${head}${item}${tail}`);
  expect(next).toEqual(invocationJob([{ ...(items[1] as InvocationItem), attempt: 2 }]));
});

test('an async call that has an end, or that another worker ended meanwhile, is not run', async () => {
  const { images, delivery, attempts, processor } = setUp();
  const items = [invocationItem(), invocationItem()];
  attempts.ended.add(items[0]?.invocationId ?? '');
  await processor.process(view(items, { lane: 'async' }), running());
  expect(Object.keys(delivery.outcomes)).toEqual([items[1]?.invocationId]);
  expect(images.sandboxes).toHaveLength(1);
});

test('a guest is told which attempt it is, and the record tells of all', async () => {
  const { images, delivery, attempts, processor } = setUp();
  const seen: number[] = [];
  images.script = ({ options }) => {
    seen.push(options.context.attempt);
    return seen.length < 3 ? report({ outcome: 'guest-error', detail: { message: 'not yet' } }) : report();
  };
  const retry = { ...DEFAULT_SETTINGS.retry, attempts: 3, retryOn: ['guest-error'] as const };
  const item = invocationItem({ retry });
  for (let n = 0; n < 3; n += 1) await processor.process(view([item], { lane: 'async' }), running());
  expect(seen).toEqual([1, 2, 3]);
  expect(attempts.putOffs).toHaveLength(2);
  const { record, letter } = delivery.settlements[0] as Settlement;
  expect(record.attempts?.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
    [1, 'guest-error'],
    [2, 'guest-error'],
    [3, 'succeeded'],
  ]);
  expect([record.attempt, record.state, letter]).toEqual([3, undefined, undefined]);
});

test('a call that is given up is kept so that it can be made again', async () => {
  const { images, delivery, processor } = setUp();
  images.script = () => report({ outcome: 'guest-error', detail: { message: 'never' } });
  const item = invocationItem();
  await processor.process(view([item], { lane: 'async' }), running());
  const { record, letter = '' } = delivery.settlements[0] as Settlement;
  expect(record).toMatchObject({
    outcome: 'guest-error',
    state: 'dead_lettered',
    attempts: [{ attempt: 1 }],
  });
  expect(JSON.parse(letter)).toEqual({ v: 1, function: functionRef(), item });
});

test('a call that has grown too old before it could begin expires', async () => {
  const { images, delivery, processor } = setUp();
  const retry = { ...DEFAULT_SETTINGS.retry, maxAgeMs: 1_000 };
  await processor.process(
    view([invocationItem({ retry, acceptedAtMs: Date.now() - 1_000 })], { lane: 'async' }),
    running(),
  );
  expect(delivery.settlements).toMatchObject([
    { record: { outcome: 'host-fault', state: 'expired' }, letter: expect.any(String) },
  ]);
  expect(images.builds).toBe(0);
});

test('an async call of which nobody wants more does not begin another attempt', async () => {
  const { images, delivery, attempts, processor } = setUp();
  const item = invocationItem();
  attempts.canceled.add(item.invocationId);
  await processor.process(view([item], { lane: 'async' }), running());
  expect(delivery.outcomes).toEqual({ [item.invocationId]: 'canceled' });
  expect(images.builds).toBe(0);
});

test('a host fault that no other host would cure ends the call at once', async () => {
  const { images, delivery, attempts, processor } = setUp();
  images.script = () => {
    throw fail('TEST_FINAL', 'no');
  };
  await processor.process(view([invocationItem()], { lane: 'async' }), running());
  expect(delivery.settlements).toMatchObject([{ record: { outcome: 'host-fault', state: 'dead_lettered' } }]);
  expect(attempts.putOffs).toEqual([]);
});

test('an attempt that cannot be put on record is not begun, and its job comes again', async () => {
  const { images, attempts, processor } = setUp();
  attempts.isBroken = true;
  await expect(
    processor.process(view([invocationItem()], { lane: 'async' }), running()),
  ).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
  expect(images.builds).toBe(0);
});

test('an async call whose record cannot be kept is not done', async () => {
  const { delivery, processor } = setUp();
  delivery.isBroken = true;
  const job = view([invocationItem()], { lane: 'async', isLastAttempt: false });
  await expect(processor.process(job, running())).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_UNSETTLED' });
});

test('on drain a running sync call is answered, an async one is put off to another worker', async () => {
  for (const lane of ['sync', 'async'] as const) {
    const { images, delivery, attempts, processor } = setUp();
    const started = deferred();
    images.script = ({ options }) => {
      started.resolve();
      return untilKilled(options);
    };
    const controller = new AbortController();
    const end = processor.process(view([invocationItem()], { lane }), controller.signal);
    await started.promise;
    controller.abort('drain');
    await end;
    expect(Object.values(delivery.outcomes)).toEqual(lane === 'sync' ? ['host-fault'] : []);
    const detail = 'The worker shut down before the call ended';
    expect(attempts.putOffs.map(({ ended }) => ended.detail)).toEqual(lane === 'sync' ? [] : [detail]);
  }
});

test('a call that ended before the drain killed it keeps its outcome', async () => {
  const { images, delivery, processor } = setUp();
  const controller = new AbortController();
  images.script = () => {
    controller.abort('drain');
    return report();
  };
  await processor.process(view([invocationItem()], { lane: 'async' }), controller.signal);
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
  await job;
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
  await processor.process(view([item], { lane: 'async' }), running());
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
