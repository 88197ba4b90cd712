import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeReply, type InvocationJob, keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../../test/helpers/redis.js';
import { echo, recordOf, type Script } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };
const silence: Script = () => 'silence';

async function startWithEcho(options: Parameters<typeof startGateway>[0] = {}): Promise<TestGateway> {
  const gateway = await startGateway(options);
  expect((await gateway.upload('echo', ECHO_MANIFEST)).status).toBe(201);
  return gateway;
}

const client = (gateway: TestGateway): Redis => {
  const redis = new Redis({ path: gateway.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  return redis;
};

describe('the way back of an answer', () => {
  it('goes over a socket that only its user can open', async () => {
    const gateway = await startWithEcho();
    expect((await stat(gateway.socketPath)).mode & 0o777).toBe(0o600);
  });

  it('goes through Redis when the worker does not reach the socket', async () => {
    const gateway = await startWithEcho();
    await gateway.startWorker(echo, { answers: 'channel' });
    const response = await gateway.invoke(CALL);
    expect((await response.json()).result).toEqual({ type: 'int', value: 3 });
  });

  it('is found in the record when nobody told of it, before the call is given up', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 100 });
    await gateway.startWorker(echo, { answers: 'record' });
    const response = await gateway.invoke({ ...CALL, timeoutMs: 100 });
    expect([response.status, (await response.json()).result]).toEqual([200, { type: 'int', value: 3 }]);
  });

  it('is looked for in the records when Redis comes back after an outage', async () => {
    const gateway = await startWithEcho();
    const worker = await gateway.startWorker(silence, { answers: 'record' });
    const redis = client(gateway);
    const pending = gateway.invoke(CALL);
    await expect.poll(() => worker.jobs.length).toBe(1);
    const [job] = worker.jobs as [InvocationJob];
    const [item] = job.items;
    if (item === undefined) throw new Error('an empty job');
    const record = recordOf(item, job, { result: { kind: 'inline', value: { type: 'int', value: 7 } } });
    await redis.set(keys.record('default', item.invocationId), JSON.stringify(record));
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    expect((await (await pending).json()).result.value).toBe(7);
  });

  it('is dropped and counted when its token is unknown or belongs to another call', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 200 });
    const worker = await gateway.startWorker(silence);
    const pending = gateway.invoke({ ...CALL, timeoutMs: 100 });
    await expect.poll(() => worker.jobs.length).toBe(1);
    const [job] = worker.jobs as [InvocationJob];
    const [item] = job.items;
    if (item?.replyToken === undefined) throw new Error('a job without token');
    const socket = await worker.socket(gateway.socketPath);
    const result = { kind: 'inline', value: { type: 'int', value: 666 } } as const;
    const body = new Uint8Array();
    const forged = recordOf(item, job, { result });
    const foreign = recordOf({ ...item, invocationId: `inv_${'0'.repeat(32)}` }, job, { result });
    socket.write(encodeReply({ token: 'f'.repeat(32), record: forged, body }));
    socket.write(encodeReply({ token: item.replyToken, record: foreign, body }));
    await expect.poll(() => gateway.replyFaults().unknownReplies).toBe(2);
    expect((await pending).status).toBe(503);
  });

  it('is put on record when a worker found the call lost: the worker that had it may have been heard before', async () => {
    const gateway = await startWithEcho();
    await gateway.startWorker(() => ({ outcome: 'host-fault' }), { answers: 'told' });
    const lost = await gateway.invoke(CALL);
    expect(lost.status).toBe(503);
    const { invocationId } = await lost.json();
    const record = await gateway.fetch(`/v1/invocations/${invocationId}`);
    expect(await record.json()).toMatchObject({ outcome: 'host-fault' });
  });

  it('is the end on record, where the worker that was lost had left one', async () => {
    const gateway = await startWithEcho();
    const redis = new Redis({ path: gateway.redis.socketPath });
    onTestFinished(() => redis.disconnect());
    const script: Script = async (item, job) => {
      const value = { type: 'int', value: 7 } as const;
      const record = recordOf(item, job, { result: { kind: 'inline', value } });
      await redis.set(keys.record('default', item.invocationId), JSON.stringify(record));
      return { outcome: 'host-fault' };
    };
    await gateway.startWorker(script, { answers: 'told' });
    const answer = await gateway.invoke(CALL);
    expect([answer.status, (await answer.json()).result.value]).toEqual([200, 7]);
  });

  it('ends a connection that sends no frames, and no other', async () => {
    const gateway = await startWithEcho();
    const worker = await gateway.startWorker();
    expect((await gateway.invoke(CALL)).status).toBe(200);
    const hostile = await (await gateway.startWorker(silence)).socket(gateway.socketPath);
    hostile.on('error', () => undefined);
    const closed = new Promise((resolve) => hostile.once('close', resolve));
    hostile.write(Buffer.alloc(64, 0xff));
    await closed;
    expect(gateway.replyFaults().brokenStreams).toBe(1);
    const socket = await worker.socket(gateway.socketPath);
    expect(socket.destroyed).toBe(false);
  });

  it('is a host fault when it is no record', async () => {
    const gateway = await startWithEcho();
    await gateway.startWorker(() => ({ outcome: 'splendid' as never }));
    const response = await gateway.invoke(CALL);
    expect([response.status, (await response.json()).code]).toEqual([503, 'host-fault']);
    expect(JSON.stringify(gateway.log)).toContain('an answer that is none');
  });
});

describe('a call that gets no answer', () => {
  it('ends as queue-timeout when no worker took it, and says so ever after', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 100 });
    const response = await gateway.invoke({ ...CALL, timeoutMs: 50 });
    expect(response.status).toBe(504);
    expect(response.headers.get('function-error')).toBeNull();
    const text = await response.text();
    const problem = JSON.parse(text);
    expect(problem).toMatchObject({ code: 'queue-timeout', origin: 'platform', retryable: true });
    const again = await gateway.fetch(`${problem.instance}/result`);
    expect([again.status, await again.text()]).toEqual([504, text]);
    expect(await (await gateway.fetch(problem.instance)).json()).toMatchObject({
      state: 'expired',
      outcome: 'host-fault',
      detail: { message: 'no worker took the call in time' },
    });
  });

  it('leaves word in its job of when to skip it', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 100 });
    await gateway.invoke({ ...CALL, timeoutMs: 50 });
    const worker = await gateway.startWorker(silence);
    await expect.poll(() => worker.jobs.length).toBe(1);
    expect(worker.jobs[0]?.items[0]?.expiresAtMs).toBeLessThanOrEqual(Date.now());
  });

  it('ends as host-fault when a worker took it and was never heard of again', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 300 });
    let end = () => {};
    const never = new Promise<'silence'>((resolve) => {
      end = () => resolve('silence');
    });
    await gateway.startWorker(() => never as never);
    const response = await gateway.invoke({ ...CALL, timeoutMs: 50 });
    const problem = await response.json();
    expect([response.status, problem.code]).toEqual([503, 'host-fault']);
    expect(response.headers.get('retry-after')).toBe('1');
    end();
  });

  it('keeps the end that its caller was told when the worker records another one later', async () => {
    const gateway = await startWithEcho({ queueWaitMs: 50 });
    const problem = await (await gateway.invoke({ ...CALL, timeoutMs: 50 })).json();
    const worker = await gateway.startWorker(echo, { answers: 'record' });
    await expect.poll(() => worker.jobs.length).toBe(1);
    const redis = client(gateway);
    await expect.poll(() => redis.exists(keys.record('default', problem.invocationId))).toBe(1);
    expect((await gateway.fetch(`${problem.instance}/result`)).status).toBe(504);
  });

  it('ends an async call whose job failed for good', async () => {
    const gateway = await startWithEcho();
    const accepted = await (await gateway.invoke(CALL, { prefer: 'respond-async' })).json();
    // A worker that completes the job without a record is as gone as one that failed all attempts.
    await gateway.startWorker(silence);
    await expect.poll(async () => (await gateway.fetch(`${accepted.links.result}`)).status).toBe(503);
    expect(await (await gateway.fetch(accepted.links.self)).json()).toMatchObject({
      state: 'failed',
      outcome: 'host-fault',
    });
  });
});

describe('a reader that is early', () => {
  it.each([CALL, undefined])(
    'gets the record of a call that was answered before it was written',
    async (envelope) => {
      const gateway = await startWithEcho();
      const redis = client(gateway);
      const worker = await gateway.startWorker(silence);
      const pending =
        envelope === undefined
          ? gateway.fetch('/invoke/echo', { method: 'POST', body: 'x' })
          : gateway.invoke(envelope);
      await expect.poll(() => worker.jobs.length).toBe(1);
      const [job] = worker.jobs as [InvocationJob];
      const [item] = job.items;
      if (item?.replyToken === undefined) throw new Error('a job without token');
      const value = { type: item.returns, value: item.returns === 'int' ? 3 : 'eA==' };
      const record = recordOf(item, job, { result: { kind: 'inline', value } });
      const socket = await worker.socket(gateway.socketPath);
      socket.write(encodeReply({ token: item.replyToken, record, body: new Uint8Array() }));
      const answer = await pending;
      const path = `/v1/invocations/${answer.headers.get('invocation-id')}/result`;
      const early = gateway.fetch(path);
      await redis.set(keys.record('default', item.invocationId), JSON.stringify(record));
      const result = await early;
      expect([result.status, await result.text()]).toEqual([200, await answer.text()]);
    },
  );

  it('is told to come back while the record of an answered raw call is not there', async () => {
    const gateway = await startWithEcho();
    const worker = await gateway.startWorker(silence);
    const pending = gateway.fetch('/invoke/echo', { method: 'POST', body: 'x' });
    await expect.poll(() => worker.jobs.length).toBe(1);
    const [job] = worker.jobs as [InvocationJob];
    const [item] = job.items;
    if (item?.replyToken === undefined) throw new Error('a job without token');
    const record = recordOf(item, job, {
      result: { kind: 'inline', value: { type: 'bytes', value: 'eA==' } },
    });
    const socket = await worker.socket(gateway.socketPath);
    socket.write(encodeReply({ token: item.replyToken, record, body: new Uint8Array() }));
    expect((await pending).status).toBe(200);
    const path = `/v1/invocations/${item.invocationId}/result`;
    await expect.poll(async () => (await gateway.fetch(path)).status).toBe(202);
    await client(gateway).set(keys.record('default', item.invocationId), JSON.stringify(record));
    expect((await gateway.fetch(path)).status).toBe(200);
  });
});

describe('a caller that goes away', () => {
  it('leaves nothing open, and its call on record, where the function goes on without it', async () => {
    const gateway = await startWithEcho();
    const settings = JSON.stringify({ onDisconnect: 'detach' });
    await client(gateway).hset(keys.function('default', 'echo'), 'settings', settings);
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const worker = await gateway.startWorker(async (item, job) => {
      await released;
      return echo(item, job) as never;
    });
    const abort = new AbortController();
    const call = gateway.fetch('/invoke/echo', { method: 'POST', body: 'x', signal: abort.signal });
    await expect.poll(() => worker.jobs.length).toBe(1);
    abort.abort();
    await expect(call).rejects.toThrow();
    release();
    await expect.poll(() => gateway.services.invoker.waiting).toBe(0);
    const id = worker.jobs[0]?.items[0]?.invocationId;
    expect((await gateway.fetch(`/v1/invocations/${id}/result`)).status).toBe(200);
  });

  it('cancels its call, whether a worker runs it or none has taken it', async () => {
    const gateway = await startWithEcho();
    for (const isRunning of [true, false]) {
      const worker = isRunning ? await gateway.startWorker(silence) : undefined;
      const abort = new AbortController();
      const call = gateway.fetch('/invoke/echo', { method: 'POST', body: 'x', signal: abort.signal });
      await expect.poll(() => gateway.services.invoker.waiting).toBe(1);
      if (worker) await expect.poll(() => worker.jobs.length).toBe(1);
      abort.abort();
      await expect(call).rejects.toThrow();
      await expect.poll(() => gateway.services.invoker.waiting).toBe(0);
      await worker?.close();
    }
    const ends = await client(gateway).keys('mf:s:end:default:*');
    const records = await Promise.all(ends.map((key) => client(gateway).get(key)));
    const outcomes = records.map((json) => JSON.parse(json ?? '{}').outcome).filter(Boolean);
    expect(outcomes).toEqual(['canceled', 'canceled']);
  });
});

describe('without Redis', () => {
  it('answers 503 when Redis takes commands and answers none', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const gateway = await startWithEcho({ redis });
    process.kill(redis.pid, 'SIGSTOP');
    const calls = [
      gateway.invoke(CALL),
      gateway.invoke(CALL, { prefer: 'respond-async' }),
      gateway.fetch('/readyz'),
    ];
    expect((await Promise.all(calls)).map((response) => response.status)).toEqual([503, 503, 503]);
    process.kill(redis.pid, 'SIGCONT');
    await gateway.startWorker();
    await expect.poll(async () => (await gateway.invoke(CALL)).status, { timeout: 10_000 }).toBe(200);
  });

  it('answers 503 at once, is alive but not ready, and recovers', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mf-redis-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const socketPath = join(folder, 's');
    const redis = await startRedis({ socketPath });
    const gateway = await startWithEcho({ redis });
    await gateway.startWorker();
    expect((await gateway.invoke(CALL)).status).toBe(200);
    await redis.stop();
    for (const headers of [{}, { prefer: 'respond-async' }]) {
      const response = await gateway.invoke(CALL, headers);
      expect([response.status, (await response.json()).code]).toEqual([503, 'unavailable']);
      expect(response.headers.get('retry-after')).toBe('1');
    }
    expect((await gateway.fetch('/v1/functions')).status).toBe(503);
    expect((await gateway.upload('other')).status).toBe(503);
    expect((await gateway.fetch('/livez')).status).toBe(200);
    const ready = await gateway.fetch('/readyz?verbose');
    expect(ready.status).toBe(503);
    expect((await ready.json()).checks).toContainEqual({ name: 'redis', ok: false, detail: 'not reachable' });

    const back = await startRedis({ socketPath });
    onTestFinished(() => back.stop());
    await expect
      .poll(async () => (await gateway.upload('echo', ECHO_MANIFEST)).status, { timeout: 10_000 })
      .toBe(201);
    await expect.poll(async () => (await gateway.invoke(CALL)).status, { timeout: 10_000 }).toBe(200);
  });

  it('does not start', async () => {
    const redis = await startRedis();
    await redis.stop();
    await expect(startGateway({ redis })).rejects.toThrow();
  });
});

describe('saturation', () => {
  it('answers 429 with Retry-After beyond the calls that one tenant may have in flight', async () => {
    const gateway = await startWithEcho({ env: { MAYFLY_GATEWAY_TENANT_MAX_IN_FLIGHT: '2' } });
    const waiting = [gateway.invoke(CALL), gateway.invoke(CALL)];
    await expect.poll(async () => (await gateway.invoke({ ...CALL, timeoutMs: 1 })).status).toBe(429);
    const response = await gateway.invoke(CALL);
    expect(await response.json()).toMatchObject({
      code: 'too-many-requests',
      origin: 'tenant',
      limit: { name: 'tenantMaxInFlight', value: 2, current: 2 },
    });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    await gateway.startWorker();
    for (const call of waiting) expect((await call).status).toBe(200);
    expect((await gateway.invoke(CALL)).status).toBe(200);
  });

  it('answers 503 with Retry-After beyond the calls that the gateway may hold', async () => {
    const gateway = await startWithEcho({ env: { MAYFLY_GATEWAY_MAX_IN_FLIGHT: '1' } });
    const waiting = gateway.invoke(CALL);
    await expect.poll(() => gateway.services.invoker.waiting).toBe(1);
    const response = await gateway.invoke(CALL);
    expect([response.status, (await response.json()).code]).toEqual([503, 'saturated']);
    expect(response.headers.get('retry-after')).not.toBeNull();
    await gateway.startWorker();
    expect((await waiting).status).toBe(200);
  });

  it('answers 503 when too many jobs wait, sync and async apart', async () => {
    const gateway = await startWithEcho({ env: { MAYFLY_GATEWAY_MAX_QUEUE_DEPTH: '1' }, queueWaitMs: 50 });
    const async = { prefer: 'respond-async' };
    expect((await gateway.invoke(CALL, async)).status).toBe(202);
    await expect.poll(async () => (await gateway.invoke(CALL, async)).status, { timeout: 5_000 }).toBe(503);
    expect((await gateway.invoke({ ...CALL, timeoutMs: 1 })).status).toBe(504);
  });
});

describe('packing', () => {
  it('sends a call that is alone in a job of its own, and calls that wait together', async () => {
    const gateway = await startWithEcho();
    let hold: Promise<void> | undefined;
    const worker = await gateway.startWorker(async (item, job) => {
      await hold;
      return echo(item, job) as never;
    });
    for (let n = 0; n < 3; n += 1) await gateway.invoke({ ...CALL, args: [n] });
    expect(worker.jobs.map((job) => job.items.length)).toEqual([1, 1, 1]);
    worker.jobs.length = 0;
    let release = () => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const calls = Array.from({ length: 40 }, (_, n) => gateway.invoke({ ...CALL, args: [n] }));
    await expect.poll(() => gateway.services.invoker.waiting).toBe(40);
    release();
    const values = await Promise.all(calls.map(async (call) => (await (await call).json()).result.value));
    expect(values).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(worker.jobs.flatMap((job) => job.items)).toHaveLength(40);
    expect(worker.jobs.length).toBeLessThan(40);
    expect(Math.max(...worker.jobs.map((job) => job.items.length))).toBeLessThanOrEqual(16);
  });

  it('settles each call of a pack on its own', async () => {
    const gateway = await startWithEcho();
    await gateway.startWorker((item, job) => {
      const [argument] = item.input.kind === 'args' ? item.input.args : [];
      return Number(argument?.value) % 2 === 0
        ? echo(item, job)
        : { outcome: 'aborted', detail: { message: 'odd' } };
    });
    await gateway.invoke({ ...CALL, args: [0] });
    const calls = Array.from({ length: 32 }, (_, n) => gateway.invoke({ ...CALL, args: [n] }));
    const statuses = await Promise.all(calls.map(async (call) => (await call).status));
    expect(statuses).toEqual(Array.from({ length: 32 }, (_, n) => (n % 2 === 0 ? 200 : 502)));
  });
});

describe('drain', () => {
  it('lets calls in flight end, takes no new ones, and closes all', async () => {
    const gateway = await startWithEcho();
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const worker = await gateway.startWorker(async (item, job) => {
      await released;
      return echo(item, job) as never;
    });
    const pending = gateway.invoke(CALL);
    await expect.poll(() => worker.jobs.length).toBe(1);
    const drained = gateway.drain();
    const refused = await gateway.invoke(CALL);
    expect([refused.status, (await refused.json()).code]).toEqual([503, 'draining']);
    expect((await gateway.fetch('/readyz')).status).toBe(503);
    release();
    expect((await pending).status).toBe(200);
    await drained;
    await expect(gateway.fetch('/livez')).rejects.toThrow();
    await expect(stat(gateway.socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('ends what outlasts the grace as draining, with its record', async () => {
    const gateway = await startWithEcho({ env: { MAYFLY_GATEWAY_DRAIN_MS: '50' } });
    const pending = gateway.invoke(CALL);
    await expect.poll(() => gateway.services.invoker.waiting).toBe(1);
    await gateway.drain();
    const response = await pending;
    const problem = await response.json();
    expect([response.status, problem.code]).toEqual([503, 'draining']);
    expect(await client(gateway).get(keys.record('default', problem.invocationId))).toContain('host-fault');
  });

  it('is one drain, however often it is asked for', async () => {
    const gateway = await startWithEcho();
    expect(gateway.drain()).toBe(gateway.drain());
    await gateway.drain();
  });
});
