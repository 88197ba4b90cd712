import { channels, keys, type ReadinessReport } from '@mayfly/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from './helpers/harness.js';
import { functionRef, invocationItem, invocationJob } from './helpers/jobs.js';

let host: Harness;
let heard: ReadinessReport[];

beforeEach(async () => {
  host = await Harness.start();
  heard = [];
  const subscriber = host.redis.duplicate();
  subscriber.on('message', (_channel, message) => heard.push(JSON.parse(message)));
  subscriber.on('error', () => undefined);
  await subscriber.subscribe(channels.ready);
});
afterEach(() => host.stop());

const ref = functionRef();
const field = `${ref.tenant} ${ref.name} ${ref.version}`;
const announce = (order: object) => host.redis.publish(channels.versions, JSON.stringify(order));
const stored = async () =>
  JSON.parse((await host.redis.hget(keys.ready(ref.tenant, ref.name), '1')) ?? 'null');

describe('a worker', () => {
  it('prepares an announced version and reports that', async () => {
    await host.startWorker();
    await announce(ref);
    await expect
      .poll(() => heard)
      .toMatchObject([{ name: ref.name, version: 1, workerId: 'w1', state: 'ready' }]);
    expect(await stored()).toMatchObject({ state: 'ready', workerId: 'w1' });
    expect(host.images.builds).toBe(1);
  });

  it('prepares when it starts what no other has', async () => {
    await host.redis.hset(keys.unprepared, field, JSON.stringify(ref), 'other', 'no order');
    await host.startWorker();
    await expect.poll(() => heard).toMatchObject([{ version: 1, state: 'ready' }]);
  });

  it('reports a version that a call had built', async () => {
    await host.startWorker();
    await host.add('async', invocationJob([invocationItem()]));
    await expect.poll(() => heard).toMatchObject([{ version: 1, state: 'ready' }]);
  });

  it('answers who asks for a warm version, whether there was something to do or not', async () => {
    await host.startWorker();
    const warmId = 'a'.repeat(32);
    await announce({ ...ref, warmId });
    await announce({ ...ref, warmId });
    await expect.poll(() => heard.filter((report) => report.warmId === warmId)).toHaveLength(2);
    expect(heard.every(({ state }) => state === 'ready')).toBe(true);
    expect(host.images.builds).toBe(1);
  });

  it('leaves a version that another kind of KVM has to run', async () => {
    await host.startWorker();
    const other = ['hardware', 'software'].map((requiresKvm) => ({ ...ref, requiresKvm, name: requiresKvm }));
    for (const order of [...other, ref]) await announce(order);
    await expect.poll(() => heard.map(({ name }) => name)).toHaveLength(2);
    expect(heard.map(({ name }) => name)).toContain(ref.name);
    expect(host.images.builds).toBe(2);
  });
});
