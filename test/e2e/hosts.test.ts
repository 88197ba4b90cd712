import { hostname } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { kvmKind } from '../../apps/worker/src/cells/kvm-kind.js';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

describe.skipIf(!kvmWorks)('hosts and what a tenant requires of them (needs /dev/kvm)', () => {
  const otherKind = kvmKind() === 'hardware' ? 'software' : 'hardware';
  const greeting = { function: 'hello', args: ['you'] };
  let mayfly: Mayfly;
  afterEach(() => mayfly?.stop());

  it('names the kind of KVM of each worker, and serves a tenant who requires that', async () => {
    mayfly = await startMayfly({ env: { MAYFLY_TENANT_REQUIRES_KVM: kvmKind() } });
    expect(await (await mayfly.request('/v1/hosts')).json()).toMatchObject({
      items: [{ hostName: hostname(), kvm: kvmKind(), callsInFlight: 0 }],
    });
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
});
