import { channels, keys, type ReadinessReport } from '@mayfly/contracts';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { tinyElf } from './support/elf.js';
import { redisOfFile } from './support/file-redis.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const file = redisOfFile();
let gateway: TestGateway;

beforeEach(async () => {
  await file.client.flushall();
  gateway = await startGateway({ redis: file.server, queueWaitMs: 400 });
});

const upload = (fill: number, at = gateway) =>
  at.upload('fn', ECHO_MANIFEST, tinyElf(256, fill), { prepared: false });
const report = (fields: Partial<ReadinessReport> = {}): string =>
  JSON.stringify({
    ...{ tenant: 'default', name: 'fn', version: 1, workerId: 'w1', state: 'ready', atMs: Date.now() },
    ...fields,
  });
const say = (fields?: Partial<ReadinessReport>) => file.client.publish(channels.ready, report(fields));
const call = (target = 'fn', at = gateway) =>
  at.fetch(`/invoke/${target}?entrypoint=echo-string`, { method: 'POST', body: 'x' });
const versionOf = async (target?: string) => (await call(target)).headers.get('function-version');
const conditions = async (version = '') => {
  const response = await gateway.fetch(`/v1/functions/fn/conditions${version}`);
  const body = (await response.json()) as unknown as {
    conditions: { type: string; status: string; reason: string; message: string }[];
  };
  return Object.fromEntries(body.conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
};
/** A worker as heartbeats describe it. */
const beat = async (workerId: string, fields: Record<string, string> = { reportsReadiness: '1' }) => {
  await file.client.zadd(keys.workers, Date.now(), workerId);
  await file.client.hset(keys.worker(workerId), {
    ...{ hostName: 'h', kvm: 'hardware', isolation: 'process', slots: 1, callsInFlight: 0, startedAtMs: 1 },
    ...fields,
  });
};
/** Answers requests to warm up as workers do. */
const answerWarmUps = async (answer: (order: { warmId: string }) => Partial<ReadinessReport>[]) => {
  const subscriber = file.client.duplicate();
  onTestFinished(() => subscriber.disconnect());
  subscriber.on('message', (_channel, message) => {
    const order = JSON.parse(message) as { warmId?: string };
    if (order.warmId === undefined) return;
    for (const fields of answer({ warmId: order.warmId })) void say({ warmId: order.warmId, ...fields });
  });
  await subscriber.subscribe(channels.versions);
};
const warm = (query = '') => gateway.fetch(`/v1/functions/fn/versions/1/warm${query}`, { method: 'POST' });

describe('a version that no worker has prepared', () => {
  it('makes a call wait until the first worker has it', async () => {
    gateway = await startGateway({ redis: file.server });
    await upload(1);
    const worker = await gateway.startWorker();
    const answered = call();
    await expect.poll(() => conditions()).toMatchObject({ Routable: 'False Preparing' });
    expect(worker.jobs).toEqual([]);
    await say();
    expect((await answered).status).toBe(200);
  });

  it('is refused as not routable when none has it in time', async () => {
    await upload(1);
    const worker = await gateway.startWorker();
    for (const response of [
      await call(),
      await gateway.invoke({ function: 'fn', version: 1, entrypoint: 'echo-int', args: [1] }),
    ]) {
      const { code } = await response.json();
      expect([response.status, code, response.headers.get('retry-after')]).toEqual([
        409,
        'not-routable',
        '1',
      ]);
    }
    expect(worker.jobs).toEqual([]);
  });

  it('takes a call that outlives its connection at once', async () => {
    await upload(1);
    const response = await gateway.fetch('/invoke/fn?entrypoint=echo-string', {
      method: 'POST',
      body: 'x',
      headers: { prefer: 'respond-async' },
    });
    expect(response.status).toBe(202);
  });

  it('is on a list for workers that come later, until it is prepared or deleted', async () => {
    await upload(1);
    await upload(2);
    expect((await file.client.hkeys(keys.unprepared)).sort()).toEqual(['default fn 1', 'default fn 2']);
    await say();
    await expect.poll(() => file.client.hkeys(keys.unprepared)).toEqual(['default fn 2']);
    await gateway.fetch('/v1/functions/fn/versions/2', { method: 'DELETE' });
    expect(await file.client.hkeys(keys.unprepared)).toEqual([]);
  });

  it('becomes routable by a report that no gateway heard', async () => {
    await upload(1);
    await file.client.hset(keys.ready('default', 'fn'), '1', report());
    await gateway.startWorker();
    expect((await call()).status).toBe(200);
  });

  it('becomes routable on every gateway', async () => {
    const second = await startGateway({ redis: file.server, queueWaitMs: 20_000 });
    await upload(1);
    await gateway.startWorker();
    const answered = call('fn', second);
    await say();
    expect((await answered).status).toBe(200);
  });

  it('is called at once when a host says that it cannot prepare it', async () => {
    gateway = await startGateway({ redis: file.server });
    await upload(1);
    const worker = await gateway.startWorker();
    const answered = call();
    await expect
      .poll(async () => {
        await say({ state: 'unavailable', message: 'no room' });
        return worker.jobs.length;
      })
      .toBe(1);
    expect((await answered).status).toBe(200);
  });

  it('is called without a wait where only workers live that do not report', async () => {
    await upload(1);
    await gateway.startWorker();
    await beat('old', {});
    expect((await call()).status).toBe(200);
  });
});

describe('the latest version', () => {
  beforeEach(async () => {
    await gateway.startWorker();
    await gateway.upload('fn', ECHO_MANIFEST, tinyElf(256, 1));
    await upload(2);
  });

  it('is the newest that is routable', async () => {
    expect(await versionOf()).toBe('1');
    await say({ version: 2 });
    await expect.poll(() => versionOf()).toBe('2');
  });

  it('does not move to one whose initialisation failed', async () => {
    await say({ version: 2, state: 'failed', message: 'aborted: Initialisation: no' });
    await expect
      .poll(() => conditions())
      .toMatchObject({
        Uploaded: 'True Stored',
        Validated: 'True ElfAccepted',
        SnapshotReady: 'False InitialisationFailed',
        Routable: 'False InitialisationFailed',
      });
    expect(await versionOf()).toBe('1');
    expect(await conditions('?version=1')).toMatchObject({ Routable: 'True SnapshotReady' });
    // Who names it gets what its initialisation ended in, from the worker.
    expect(await versionOf('fn@2')).toBe('2');
  });

  it('stays ready when another host fails', async () => {
    await say({ version: 2 });
    await expect.poll(() => conditions()).toMatchObject({ Routable: 'True SnapshotReady' });
    await say({ version: 2, state: 'failed', message: 'no', workerId: 'w2' });
    await say({ version: 2, state: 'unavailable', message: 'no', workerId: 'w3' });
    await upload(3);
    await say({ version: 3 });
    await expect.poll(() => versionOf()).toBe('3');
    expect(await conditions('?version=2')).toMatchObject({ Routable: 'True SnapshotReady' });
  });

  it('is not one that an alias would make wait for', async () => {
    await gateway.fetch('/v1/functions/fn/aliases/live', {
      method: 'PUT',
      body: JSON.stringify({ weights: { 1: 1, 2: 1_000_000 } }),
      headers: { 'content-type': 'application/json' },
    });
    expect(await versionOf('fn:live')).toBe('1');
    await say({ version: 2 });
    await expect.poll(() => versionOf('fn:live')).toBe('2');
  });

  it('ignores reports that make no sense', async () => {
    for (const text of [
      '',
      'null',
      '{}',
      report({ tenant: '../x' }),
      report({ version: -1 }),
      report({ version: 9 }),
    ])
      await file.client.publish(channels.ready, text);
    await say({ version: 2 });
    await expect.poll(() => versionOf()).toBe('2');
  });
});

describe('POST /v1/functions/{name}/versions/{version}/warm', () => {
  it('answers with what each live worker said', async () => {
    await upload(1);
    await beat('w1');
    await beat('w2');
    await answerWarmUps(() => [
      { workerId: 'w1', state: 'ready', tookMs: 7 },
      { workerId: 'w2', state: 'unavailable', message: 'no room' },
    ]);
    const response = await warm();
    expect([response.status, await response.json()]).toEqual([
      200,
      {
        function: 'fn',
        version: 1,
        hosts: [
          { workerId: 'w1', state: 'ready', tookMs: 7 },
          { workerId: 'w2', state: 'unavailable', message: 'no room' },
        ],
      },
    ]);
    await expect.poll(() => conditions()).toMatchObject({ Routable: 'True SnapshotReady' });
  });

  it('does not wait for ever for a worker that says nothing', async () => {
    await upload(1);
    await beat('w1');
    await beat('w2');
    await answerWarmUps(() => [{ workerId: 'w1', state: 'ready', tookMs: 0 }]);
    const body = (await (await warm('?waitMs=200')).json()) as unknown as { hosts: unknown[] };
    expect(body.hosts).toContainEqual({ workerId: 'w2', state: 'no-answer' });
  });

  it('is refused by name where no host has the snapshot', async () => {
    await upload(1);
    const problem = async (response: Awaited<ReturnType<typeof warm>>) => [
      response.status,
      (await response.json()).code,
    ];
    expect(await problem(await warm())).toEqual([503, 'no-host']);
    await beat('w1');
    expect(await problem(await warm('?waitMs=50'))).toEqual([409, 'not-routable']);
    await answerWarmUps(() => [{ workerId: 'w1', state: 'failed', message: 'aborted: Initialisation: no' }]);
    expect(await problem(await warm())).toEqual([424, 'snapshot-failed']);
    expect(await problem(await warm('?waitMs=30001'))).toEqual([400, 'invalid-request']);
    const nowhere = await gateway.fetch('/v1/functions/fn/versions/7/warm', { method: 'POST' });
    expect(nowhere.status).toBe(404);
  });
});
