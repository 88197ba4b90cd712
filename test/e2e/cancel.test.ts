import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

/** Real processes, real micro-VMs: a canceled guest has stopped when the answer leaves. */
describe.skipIf(!kvmWorks)('cancel', () => {
  let mayfly: Mayfly;

  beforeAll(async () => {
    mayfly = await startMayfly({ workers: 2, env: { MAYFLY_WORKER_SLOTS: '1' } });
    expect((await mayfly.upload('spin')).ok).toBe(true);
    // Both workers have the version, so that what follows meets guests that run.
    await mayfly.invoke({ function: 'spin', entrypoint: 'Work', args: [1] });
  });
  afterAll(() => mayfly?.stop());

  const state = async (id: string): Promise<Record<string, unknown>> =>
    (await (await mayfly.request(`/v1/invocations/${id}`)).json()) as Record<string, unknown>;

  const spin = (init: RequestInit) =>
    mayfly.request('/invoke', {
      method: 'POST',
      body: JSON.stringify({ function: 'spin', timeoutMs: 30_000 }),
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    });

  async function spinAsync(): Promise<string> {
    const answer = await spin({ headers: { prefer: 'respond-async' } });
    return ((await answer.json()) as { invocationId: string }).invocationId;
  }

  const cancel = (id: string) => mayfly.request(`/v1/invocations/${id}/cancel`, { method: 'POST' });

  it('stops guests that spin, and ends what waits behind them, each with one end', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, spinAsync));
    await expect
      .poll(async () => (await Promise.all(ids.map(state))).some((s) => s['state'] === 'running'))
      .toBe(true);
    const answers = await Promise.all(ids.map(cancel));
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 200));
    const ends = await Promise.all(ids.map(state));
    expect(ends.map((end) => [end['state'], end['outcome']])).toEqual(
      ids.map(() => ['canceled', 'canceled']),
    );
    // The slots are free again: a guest that still ran would hold both for half a minute.
    const after = await mayfly.invoke({ function: 'spin', entrypoint: 'Work', args: [1], timeoutMs: 1000 });
    expect(after.status).toBe(200);
    expect(await Promise.all(ids.map(state))).toEqual(ends);
  });

  it('of a client that goes away stops its guest, and the slot is free', async () => {
    const clients = Array.from({ length: 2 }, () => new AbortController());
    const calls = clients.map(({ signal }) => spin({ signal }).catch(() => 'gone'));
    const inFlight = async () => {
      const hosts = (await (await mayfly.operator('/v1/hosts')).json()) as {
        items: { callsInFlight: number }[];
      };
      return hosts.items.reduce((sum, { callsInFlight }) => sum + callsInFlight, 0);
    };
    await expect.poll(inFlight, { timeout: 15_000 }).toBe(2);
    for (const client of clients) client.abort();
    expect(await Promise.all(calls)).toEqual(['gone', 'gone']);
    const after = await mayfly.invoke({ function: 'spin', entrypoint: 'Work', args: [1], timeoutMs: 1000 });
    expect(after.status).toBe(200);
    await expect.poll(inFlight, { timeout: 15_000 }).toBe(0);
  });
});
