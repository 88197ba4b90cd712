import { hostname } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { kvmKind } from '../../apps/worker/src/cells/kvm-kind.js';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';
import { makeOperator } from '../helpers/operator.js';

describe.skipIf(!kvmWorks)('hosts and what a tenant requires of them (needs /dev/kvm)', () => {
  const otherKind = kvmKind() === 'hardware' ? 'software' : 'hardware';
  const greeting = { function: 'hello', args: ['you'] };
  let mayfly: Mayfly;
  afterEach(() => mayfly?.stop());

  it('names the kind of KVM of each worker, and serves a tenant who requires that', async () => {
    mayfly = await startMayfly({ env: { MAYFLY_TENANT_REQUIRES_KVM: kvmKind() } });
    const authorization = `Bearer ${await makeOperator(mayfly.redis.socketPath)}`;
    await expect
      .poll(async () => (await mayfly.request('/v1/hosts', { headers: { authorization } })).json())
      .toMatchObject({ items: [{ hostName: hostname(), kvm: kvmKind(), callsInFlight: 0 }] });
    expect((await mayfly.upload('hello')).status).toBe(201);
    expect((await mayfly.invoke(greeting)).status).toBe(200);
  });

  it('refuses the calls of a tenant who requires the other kind, and runs nothing', async () => {
    mayfly = await startMayfly({ env: { MAYFLY_TENANT_REQUIRES_KVM: otherKind } });
    expect((await mayfly.upload('hello')).status).toBe(201);
    const answer = await mayfly.invoke(greeting);
    expect([answer.status, await answer.json()]).toEqual([
      503,
      expect.objectContaining({ code: 'no-host', origin: 'platform', retryable: true }),
    ]);
  });

  it('takes calls from a worker and gives them back, as operators say; notices one that died, and has others run its calls', async () => {
    mayfly = await startMayfly({ workers: 2, env: { MAYFLY_WORKER_DRAIN_GRACE_MS: '300' } });
    const authorization = `Bearer ${await makeOperator(mayfly.redis.socketPath)}`;
    type Host = { workerId: string; state: string; callsInFlight: number };
    const hosts = async () => {
      const answer = await mayfly.request('/v1/hosts', { headers: { authorization } });
      return answer.ok ? ((await answer.json()) as { items: Host[] }).items : [];
    };
    const stateOf = async (id: string) => (await hosts()).find(({ workerId }) => workerId === id)?.state;
    const post = (target: string) =>
      mayfly.request(`/v1/hosts/${target}`, { method: 'POST', headers: { authorization } });
    await expect.poll(hosts).toHaveLength(2);
    const [first = '', second = ''] = (await hosts()).map(({ workerId }) => workerId);
    expect((await mayfly.upload('spin')).status).toBe(201);
    const spin = { function: 'spin', entrypoint: 'Spin', args: [], returns: 'void', timeoutMs: 4000 };
    const accept = async () => {
      const answer = await mayfly.request('/invoke', {
        method: 'POST',
        headers: { 'content-type': 'application/json', prefer: 'respond-async' },
        body: JSON.stringify(spin),
      });
      return answer.headers.get('location') ?? '';
    };
    const record = async (location: string) => (await mayfly.request(location)).json();
    const busy = async (id: string) =>
      (await hosts()).some((host) => host.workerId === id && host.callsInFlight > 0);

    // Only the first takes calls; it is drained while one runs, and the other runs that one.
    expect((await post(`${second}/cordon`)).status).toBe(200);
    await expect.poll(() => stateOf(second), { timeout: 10_000 }).toBe('cordoned');
    const moved = await accept();
    await expect.poll(() => busy(first), { timeout: 10_000 }).toBe(true);
    expect((await post(`${second}/uncordon`)).status).toBe(200);
    expect((await post(`${first}/drain`)).status).toBe(200);
    await expect.poll(() => stateOf(first), { timeout: 15_000 }).toBe('drained');
    await expect
      .poll(() => record(moved), { timeout: 20_000 })
      .toMatchObject({ state: 'dead_lettered', outcome: 'timeout' });

    // The second dies with a call; the first, uncordoned, runs it.
    const orphan = await accept();
    await expect.poll(() => busy(second), { timeout: 10_000 }).toBe(true);
    expect((await post(`${first}/uncordon`)).status).toBe(200);
    await expect.poll(() => stateOf(first), { timeout: 10_000 }).toBe('active');
    const victim = mayfly.workers.find((worker) => worker.output().includes(second));
    await victim?.end('SIGKILL');
    await expect.poll(() => stateOf(second), { timeout: 15_000 }).toBe('dead');
    await expect
      .poll(() => record(orphan), { timeout: 40_000 })
      .toMatchObject({ state: 'dead_lettered', outcome: 'timeout' });
  }, 120_000);
});
