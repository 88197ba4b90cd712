import { keys } from '@mayfly/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { tinyElf } from './support/elf.js';
import { redisOfFile } from './support/file-redis.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const file = redisOfFile();
let gateway: TestGateway;

beforeEach(async () => {
  await file.client.flushall();
  gateway = await startGateway({ redis: file.server });
  await gateway.startWorker();
  for (const fill of [1, 2]) await gateway.upload('fn', ECHO_MANIFEST, tinyElf(256, fill));
});

const call = (target: string, headers: Record<string, string> = {}, at = gateway) =>
  at.fetch(`/invoke/${target}?entrypoint=echo-string`, { method: 'POST', body: 'x', headers });
const versionOf = async (target: string) => (await call(target)).headers.get('function-version');
/** As workers do once hosts died of a version. */
const quarantine = (version: number) =>
  file.client.hset(
    keys.quarantined,
    `default fn ${version}`,
    JSON.stringify({ atMs: Date.now(), workerIds: ['w1', 'w2'] }),
  );
const operator = async () => {
  const { text } = await gateway.services.keyAdmin.create('test', '', { scopes: [] });
  return { authorization: `Bearer ${text}` };
};
const lift = async (version: number) =>
  gateway.fetch(`/v1/tenants/default/functions/fn/versions/${version}/quarantine`, {
    method: 'DELETE',
    headers: await operator(),
  });
const problemOf = async (response: Awaited<ReturnType<typeof call>>) => [
  response.status,
  (await response.json()).code,
];

describe('a quarantined version', () => {
  it('is refused by name, queued or not, and the latest is another', async () => {
    expect(await versionOf('fn')).toBe('2');
    await quarantine(2);
    await expect.poll(() => versionOf('fn')).toBe('1');
    expect(await problemOf(await call('fn@2'))).toEqual([409, 'quarantined']);
    expect(await problemOf(await call('fn@2', { prefer: 'respond-async' }))).toEqual([409, 'quarantined']);
    await quarantine(1);
    await expect.poll(async () => (await call('fn')).status).toBe(409);
  });

  it('has no share of an alias while another version takes its calls', async () => {
    const alias = { method: 'PUT', body: '{"weights":{"1":1,"2":1000000}}' };
    const headers = { 'content-type': 'application/json' };
    await gateway.fetch('/v1/functions/fn/aliases/live', { ...alias, headers });
    expect(await versionOf('fn:live')).toBe('2');
    await quarantine(2);
    await expect.poll(() => versionOf('fn:live')).toBe('1');
  });

  it('shows in its conditions, on the list of operators, and once in the audit log', async () => {
    const second = await startGateway({ redis: file.server });
    await quarantine(2);
    for (const at of [gateway, second])
      await expect.poll(async () => (await call('fn@2', {}, at)).status).toBe(409);
    const { conditions } = (await (await gateway.fetch('/v1/functions/fn/conditions')).json()) as unknown as {
      conditions: { type: string; reason: string }[];
    };
    expect(conditions.at(-1)).toMatchObject({ type: 'Routable', status: 'False', reason: 'Quarantined' });
    const { items } = await (await gateway.fetch('/v1/quarantine', { headers: await operator() })).json();
    expect(items).toMatchObject([{ tenant: 'default', function: 'fn', version: 2, workerIds: ['w1', 'w2'] }]);
    const audit = await gateway.services.audit.page(undefined, 100);
    expect(audit.items.filter(({ action }) => action === 'version.quarantine')).toMatchObject([
      { actor: { kind: 'platform', keyId: 'quarantine' }, tenant: 'default', target: 'fn@2' },
    ]);
  });

  it('is called again once an operator lifts it', async () => {
    expect(await problemOf(await lift(2))).toEqual([404, 'not-found']);
    await quarantine(2);
    await expect.poll(() => versionOf('fn')).toBe('1');
    expect((await lift(2)).status).toBe(204);
    expect(await versionOf('fn')).toBe('2');
    // What the workers said before it is void, whenever they take it out.
    await gateway.services.quarantines.look();
    expect(await versionOf('fn@2')).toBe('2');
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.at(-1)).toMatchObject({
      ...{ action: 'version.quarantine.lift', actor: { kind: 'operator' }, target: 'fn@2' },
      before: { workerIds: ['w1', 'w2'] },
    });
  });

  it('is not made of text that makes no sense', async () => {
    await file.client.hset(keys.quarantined, 'default fn 2', 'null', 'default fn', '{}', 'x', '{"atMs":1}');
    await gateway.services.quarantines.look();
    expect(gateway.services.quarantines.list()).toEqual([]);
    expect(await versionOf('fn@2')).toBe('2');
  });
});
