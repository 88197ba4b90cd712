import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Fleet } from '../drill/src/fleet.js';
import { kvmWorks } from '../helpers/mayfly.js';

const JSON_HEADERS = { 'content-type': 'application/json' };
const WORK = { function: 'spin', entrypoint: 'Work', args: [1000], returns: 'uint' };
const SPIN = { function: 'spin', entrypoint: 'Spin', args: [], returns: 'void', timeoutMs: 20_000 };

/** What one gateway was told holds on the other, and work goes to whichever worker is free. */
describe.skipIf(!kvmWorks)('two gateways and two workers on one Redis (needs /dev/kvm)', () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.start();
  }, 60_000);
  afterAll(() => fleet?.stop());

  const invoke = (gateway: number, body: object, headers: Record<string, string> = {}) =>
    fleet.request(gateway, '/invoke', {
      method: 'POST',
      headers: { ...JSON_HEADERS, ...headers },
      body: JSON.stringify(body),
    });
  const record = async (gateway: number, id: string | null, headers: Record<string, string> = {}) =>
    (await (await fleet.request(gateway, `/v1/invocations/${id}`, { headers })).json()) as {
      readonly state: string;
    };

  it('serve on one what was uploaded to the other', async () => {
    for (const gateway of [0, 1, 0, 1]) expect((await invoke(gateway, WORK)).status).toBe(200);
  });

  it('tell on one how a call ended that the other took, also to whom waits for it there', async () => {
    const accepted = await invoke(0, WORK, { prefer: 'respond-async' });
    expect(accepted.status).toBe(202);
    const id = accepted.headers.get('invocation-id');
    expect(await record(1, id, { prefer: 'wait=20' })).toMatchObject({ state: 'succeeded' });
    expect(await record(0, id)).toEqual(await record(1, id));
  });

  it('stop on one a call that runs for the other', async () => {
    const accepted = await invoke(0, SPIN, { prefer: 'respond-async' });
    const id = accepted.headers.get('invocation-id');
    await expect.poll(async () => (await record(1, id)).state, { timeout: 10_000 }).toBe('running');
    const canceled = await fleet.request(1, `/v1/invocations/${id}/cancel`, { method: 'POST' });
    expect(canceled.status).toBe(200);
    for (const gateway of [0, 1]) expect(await record(gateway, id)).toMatchObject({ state: 'canceled' });
  });

  it('make one invocation of the same idempotency key, whichever is asked', async () => {
    const headers = { prefer: 'respond-async', 'idempotency-key': 'once' };
    const answers = await Promise.all([0, 1, 0, 1].map((gateway) => invoke(gateway, WORK, headers)));
    const ids = answers
      .filter(({ status }) => status === 202)
      .map((answer) => answer.headers.get('invocation-id'));
    expect(ids.length).toBeGreaterThan(0);
    expect(new Set(ids).size).toBe(1);
    for (const { status } of answers) expect([202, 409]).toContain(status);
  });
});
