import type { InvocationRecord } from '@mayfly/contracts';
import { Attempts, Gate, Ledger } from '@mayfly/queue';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recordOf } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };

interface Setup {
  readonly gateway: TestGateway;
  readonly redis: Redis;
  /** Accepts a call and ends it as a worker that gives it up does. @returns its id */
  bury(fields?: Partial<InvocationRecord>): Promise<string>;
}

async function setUp(): Promise<Setup> {
  const gateway = await startGateway();
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  const redis = new Redis({ path: gateway.redis.socketPath });
  redis.on('error', () => undefined);
  onTestFinished(() => redis.disconnect());
  const ledger = new Ledger(redis);
  return {
    gateway,
    redis,
    bury: async (fields = {}) => {
      const accepted = await gateway.invoke(CALL, { prefer: 'respond-async' });
      const { invocationId } = await accepted.json();
      await expect.poll(() => redis.hget(`mf:q:{async-0}:${invocationId}`, 'data')).not.toBeNull();
      const job = JSON.parse((await redis.hget(`mf:q:{async-0}:${invocationId}`, 'data')) ?? '');
      const record = recordOf(job.items[0], job, {
        ...{ outcome: 'guest-error', detail: { message: 'no' }, state: 'dead_lettered' },
        ...{ finishedAtMs: Date.now(), ...fields },
      });
      const letter = JSON.stringify({ v: 1, function: job.function, item: job.items[0] });
      await ledger.settle([{ class: 'async', record, letter }]);
      return invocationId;
    },
  };
}

const redrive = (gateway: TestGateway, body: unknown) =>
  gateway.fetch('/v1/functions/echo/dead-letters/redrive', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const letters = async (gateway: TestGateway, query = '') =>
  (await gateway.fetch(`/v1/functions/echo/dead-letters${query}`)).json();

describe('dead letters', () => {
  it('are listed newest first, a page at a time, and shown with their input', async () => {
    const { gateway, bury } = await setUp();
    const ids = [await bury(), await bury({ detail: { message: 'why' } }), await bury()];
    const first = await letters(gateway, '?limit=2');
    const rest = await letters(gateway, `?limit=2&cursor=${first.nextCursor}`);
    const listed = [...first.items, ...rest.items].map((item: { invocationId: string }) => item.invocationId);
    expect(new Set(listed)).toEqual(new Set(ids));
    expect(listed).toHaveLength(3);
    const shown = await (await gateway.fetch(`/v1/functions/echo/dead-letters/${ids[1]}`)).json();
    expect(shown).toMatchObject({
      ...{ invocationId: ids[1], version: 1, entrypoint: 'echo-int', state: 'dead_lettered', message: 'why' },
      input: { kind: 'args', args: [{ type: 'int', value: 3 }] },
    });
    const view = await (await gateway.fetch(`/v1/invocations/${ids[1]}`)).json();
    expect([view.state, view.outcome]).toEqual(['dead_lettered', 'guest-error']);
    expect((await gateway.fetch(`/v1/functions/other/dead-letters/${ids[1]}`)).status).toBe(404);
  });

  it('are made new invocations that name their origin, on a chosen version, at a rate', async () => {
    const { gateway, redis, bury } = await setUp();
    expect((await gateway.upload('echo', { ...ECHO_MANIFEST, default: 'echo-string' })).ok).toBe(true);
    const ids = [await bury({ finishedAtMs: Date.now() - 9 }), await bury()];
    const answer = await redrive(gateway, { all: true, version: 2, ratePerSecond: 0.001 });
    expect(answer.status).toBe(202);
    const { redriven, left } = await answer.json();
    expect(redriven.map(({ from }: { from: string }) => from)).toEqual(ids);
    const [first, second] = redriven;
    expect((second?.dueAtMs ?? 0) - (first?.dueAtMs ?? 0)).toBe(1_000_000);
    expect(left).toBe(0);
    expect((await letters(gateway)).items).toEqual([]);
    const views = await Promise.all(
      redriven.map(async ({ invocationId }: { invocationId: string }) =>
        (await gateway.fetch(`/v1/invocations/${invocationId}`)).json(),
      ),
    );
    expect(views).toMatchObject(ids.map((origin) => ({ origin, state: 'queued', version: 2 })));
    // The first is due, the second is not for a quarter of an hour, whoever works it off.
    await new Gate(redis).pump(8);
    await gateway.startWorker();
    await expect
      .poll(async () => (await (await gateway.fetch(`/v1/invocations/${first?.invocationId}`)).json()).state)
      .toBe('succeeded');
    expect((await (await gateway.fetch(`/v1/invocations/${ids[0]}`)).json()).state).toBe('dead_lettered');
  });

  it('are refused a version that does not take the call, and stay', async () => {
    const { gateway, bury } = await setUp();
    const entrypoints = {
      ...ECHO_MANIFEST.entrypoints,
      'echo-int': { params: ['string'], returns: 'string' },
    };
    const id = await bury();
    expect((await gateway.upload('echo', { ...ECHO_MANIFEST, entrypoints })).ok).toBe(true);
    expect((await redrive(gateway, { ids: [id], version: 9 })).status).toBe(404);
    expect((await letters(gateway)).items).toHaveLength(1);
    const other = await redrive(gateway, { ids: [id], version: 2 });
    expect([other.status, (await letters(gateway)).items.length]).toEqual([409, 1]);
  });

  it.each([{}, { all: true, ids: [`inv_${'0'.repeat(32)}`] }, { all: true, ratePerSecond: 0 }, { ids: [] }])(
    'cannot be redriven by %j',
    async (body) => {
      const { gateway } = await setUp();
      expect((await redrive(gateway, body)).status).toBe(400);
    },
  );

  it('are purged, one or all; their records stay', async () => {
    const { gateway, bury } = await setUp();
    const ids = [await bury(), await bury(), await bury()];
    const one = `/v1/functions/echo/dead-letters/${ids[0]}`;
    expect(await (await gateway.fetch(one, { method: 'DELETE' })).json()).toEqual({ purged: 1, left: 2 });
    expect((await gateway.fetch(one, { method: 'DELETE' })).status).toBe(404);
    const all = await gateway.fetch('/v1/functions/echo/dead-letters', { method: 'DELETE' });
    expect(await all.json()).toEqual({ purged: 2, left: 0 });
    expect((await (await gateway.fetch(`/v1/invocations/${ids[1]}`)).json()).state).toBe('dead_lettered');
  });
});

describe('an async invocation that is tried again', () => {
  it('shows what became of its attempts, and when the next one is', async () => {
    const { gateway, redis } = await setUp();
    const { invocationId } = await (await gateway.invoke(CALL, { prefer: 'respond-async' })).json();
    const attempts = new Attempts(redis);
    const tenant = 'default';
    const show = async () => (await gateway.fetch(`/v1/invocations/${invocationId}`)).json();
    await attempts.begin({ tenant, invocationId, workerId: 'w1', version: 1 });
    expect(await show()).toMatchObject({ state: 'starting', attempt: 1 });
    await attempts.running(tenant, invocationId, 1);
    expect(await show()).toMatchObject({ state: 'running', attempt: 1 });
    const ended = {
      ...{ attempt: 1, workerId: 'w1', version: 1, startedAtMs: 1, finishedAtMs: 2 },
      ...({ outcome: 'timeout', detail: 'too long' } as const),
    };
    await attempts.putOff({
      ...{ tenant, function: 'echo', invocationId, ended, faults: 0, delayMs: 600_000 },
      ...{ head: '', tail: '', item: '{}', leaseMs: 1 },
    });
    const waiting = await show();
    expect(waiting).toMatchObject({ state: 'queued', attempt: 1, attempts: [ended] });
    expect(waiting.nextAttemptAtMs).toBeGreaterThan(Date.now() + 500_000);
    const canceled = await gateway.fetch(`/v1/invocations/${invocationId}/cancel`, { method: 'POST' });
    expect((await canceled.json()).state).toBe('canceled');
    expect(await show()).toMatchObject({ state: 'canceled' });
  });
});
