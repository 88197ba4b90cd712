import { keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { echo, type Script, type ScriptedWorker } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };
const ASYNC = { prefer: 'respond-async' };
const silence: Script = () => 'silence';

async function startWithEcho(redis?: RedisServer): Promise<TestGateway> {
  const gateway = await startGateway(redis ? { redis } : {});
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  return gateway;
}

const cancel = (gateway: TestGateway, id: string) =>
  gateway.fetch(`/v1/invocations/${id}/cancel`, { method: 'POST' });

async function accepted(gateway: TestGateway): Promise<string> {
  return (await (await gateway.invoke(CALL, ASYNC)).json()).invocationId;
}

/** The id of the only call that a worker has taken. */
async function taken(worker: ScriptedWorker): Promise<string> {
  await expect.poll(() => worker.jobs.length).toBe(1);
  return worker.jobs[0]?.items[0]?.invocationId ?? '';
}

describe('POST /v1/invocations/{id}/cancel', () => {
  it('ends a queued call, which has that end ever after, also for a worker that takes it later', async () => {
    const gateway = await startWithEcho();
    const id = await accepted(gateway);
    const answer = await cancel(gateway, id);
    expect([answer.status, (await answer.json()).state]).toEqual([200, 'canceled']);
    const worker = await gateway.startWorker();
    await taken(worker);
    await expect.poll(async () => gateway.services.producer.placeOf('default', id)).toBe('gone');
    expect((await (await gateway.fetch(`/v1/invocations/${id}`)).json()).state).toBe('canceled');
  });

  it('ends a running async call by its worker', async () => {
    const gateway = await startWithEcho();
    const worker = await gateway.startWorker(silence);
    const id = await accepted(gateway);
    await taken(worker);
    expect(await (await cancel(gateway, id)).json()).toMatchObject({
      state: 'canceled',
      detail: { message: 'killed' },
      attempt: 1,
    });
  });

  it('ends a running sync call, of which no record tells yet, and its caller is told', async () => {
    const gateway = await startWithEcho();
    const worker = await gateway.startWorker(silence);
    const call = gateway.invoke(CALL);
    const id = await taken(worker);
    expect((await cancel(gateway, id)).status).toBe(200);
    const answer = await call;
    expect([answer.status, (await answer.json()).code]).toEqual([499, 'canceled']);
  });

  it('reaches a sync call that waits at another gateway, taken by a worker or not', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const [one, other] = [await startWithEcho(redis), await startGateway({ redis })];
    const queued = one.invoke(CALL);
    await expect.poll(() => one.services.invoker.waiting).toBe(1);
    const worker = await one.startWorker(silence);
    const id = await taken(worker);
    expect((await cancel(other, id)).status).toBe(200);
    expect((await queued).status).toBe(499);
    await worker.close();

    const call = one.invoke(CALL);
    await expect.poll(() => one.services.invoker.waiting).toBe(1);
    const reader = new Redis({ path: redis.socketPath });
    reader.on('error', () => undefined);
    onTestFinished(() => reader.disconnect());
    const [job] = await reader.lrange('mf:q:{sync-0}:wait', 0, -1);
    const data = JSON.parse((await reader.hget(`mf:q:{sync-0}:${job}`, 'data')) ?? '{}');
    expect((await cancel(other, data.items[0].invocationId)).status).toBe(200);
    expect((await call).status).toBe(499);
  });

  it('is a conflict for what has ended otherwise, and changes nothing', async () => {
    const gateway = await startWithEcho();
    await gateway.startWorker(echo);
    const { invocationId } = await (await gateway.invoke(CALL)).json();
    const answer = await cancel(gateway, invocationId);
    expect([answer.status, (await answer.json()).code]).toEqual([409, 'conflict']);
    expect((await (await gateway.fetch(`/v1/invocations/${invocationId}`)).json()).state).toBe('succeeded');
  });

  it('can be asked for twice, and by two at once', async () => {
    const gateway = await startWithEcho();
    const id = await accepted(gateway);
    const answers = await Promise.all([cancel(gateway, id), cancel(gateway, id)]);
    expect([...answers, await cancel(gateway, id)].map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('is 404 for what is not there, and for what is another tenant’s', async () => {
    const gateway = await startWithEcho();
    const unknown = `inv_${'0'.repeat(32)}`;
    expect((await cancel(gateway, unknown)).status).toBe(404);
    const reader = new Redis({ path: gateway.redis.socketPath });
    reader.on('error', () => undefined);
    onTestFinished(() => reader.disconnect());
    await reader.set(keys.record('other', unknown), '{}');
    expect((await cancel(gateway, unknown)).status).toBe(404);
  });

  it('is not confirmed while a worker that may run the call stands still, and the call keeps its end', async () => {
    const gateway = await startWithEcho();
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const worker = await gateway.startWorker(
      async (item, job) => {
        await released;
        return echo(item, job) as never;
      },
      { cancels: 'never' },
    );
    const id = await accepted(gateway);
    await taken(worker);
    const answer = await cancel(gateway, id);
    expect([answer.status, (await answer.json()).code]).toEqual([503, 'cancel-unconfirmed']);
    release();
    await expect
      .poll(async () => (await (await gateway.fetch(`/v1/invocations/${id}`)).json()).state)
      .toBe('succeeded');
  });
});
