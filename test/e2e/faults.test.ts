import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { cellsOf, cpuTicks, runs } from '../helpers/cells.js';
import { kvmWorks, startMayfly } from '../helpers/mayfly.js';

describe.skipIf(!kvmWorks)('when processes die (needs /dev/kvm)', () => {
  it('loses no async invocation when the worker is killed in mid-call', async () => {
    const mayfly = await startMayfly();
    try {
      await mayfly.upload('spin');
      const locations: string[] = [];
      for (let i = 0; i < 8; i += 1) {
        const accepted = await mayfly.request('/invoke', {
          method: 'POST',
          headers: { 'content-type': 'application/json', prefer: 'respond-async' },
          body: JSON.stringify({
            function: 'spin',
            entrypoint: 'Spin',
            args: [],
            returns: 'void',
            timeoutMs: 1500,
          }),
        });
        expect(accepted.status).toBe(202);
        locations.push(accepted.headers.get('location') ?? '');
      }
      // The first calls are in their guests now: they spin for 1.5 s.
      await delay(700);
      expect((await mayfly.workers[0]?.end('SIGKILL'))?.signal).toBe('SIGKILL');
      await mayfly.startWorker();
      for (const location of locations) {
        await expect
          .poll(async () => ((await (await mayfly.request(location)).json()) as { state?: string }).state, {
            timeout: 60_000,
            interval: 250,
          })
          .toBe('dead_lettered');
      }
    } finally {
      await mayfly.stop();
    }
  }, 120_000);

  it('answers a sync caller by name when its worker dies, and serves the next with another worker', async () => {
    const mayfly = await startMayfly();
    try {
      await mayfly.upload('spin');
      await mayfly.upload('hello');
      const lost = mayfly.invoke({
        function: 'spin',
        entrypoint: 'Spin',
        args: [],
        returns: 'void',
        timeoutMs: 3000,
      });
      await delay(500);
      await mayfly.workers[0]?.end('SIGKILL');
      await mayfly.startWorker();
      const next = await mayfly.invoke({ function: 'hello', args: ['next'] });
      expect(next.status).toBe(200);
      const answer = await lost;
      expect([503, 504]).toContain(answer.status);
      expect(await answer.json()).toMatchObject({ origin: 'platform' });
    } finally {
      await mayfly.stop();
    }
  }, 120_000);

  it('answers a sync caller with 503 when the cell of its call dies, and serves the next with another cell', async () => {
    const env = { MAYFLY_ISOLATION: 'process', MAYFLY_WORKER_SPARE_CELLS: '0' };
    const mayfly = await startMayfly({ env });
    try {
      await mayfly.upload('spin');
      const work = { function: 'spin', entrypoint: 'Work', args: [1], returns: 'uint' };
      expect((await mayfly.invoke(work)).status).toBe(200);
      const [cell = 0] = cellsOf(mayfly.workers[0]?.pid ?? 0);
      const before = cpuTicks(cell);
      const lost = mayfly.invoke({
        function: 'spin',
        entrypoint: 'Spin',
        args: [],
        returns: 'void',
        timeoutMs: 30_000,
      });
      await runs(cell, before);
      process.kill(cell, 'SIGKILL');
      const answer = await lost;
      expect(answer.status).toBe(503);
      const problem = (await answer.json()) as { invocationId?: string };
      expect(problem).toMatchObject({ type: 'urn:mayfly:problem:host-fault', origin: 'platform' });
      const record = await mayfly.request(`/v1/invocations/${problem.invocationId}`);
      expect(await record.json()).toMatchObject({ outcome: 'host-fault' });
      expect((await mayfly.invoke(work)).status).toBe(200);
    } finally {
      await mayfly.stop();
    }
  }, 60_000);

  it('drains on SIGTERM: what runs is answered, both processes exit 0', async () => {
    const mayfly = await startMayfly();
    try {
      await mayfly.upload('spin');
      const running = mayfly.invoke({
        function: 'spin',
        entrypoint: 'Spin',
        args: [],
        returns: 'void',
        timeoutMs: 1000,
      });
      await delay(300);
      const gateway = mayfly.gateway.end('SIGTERM');
      const answer = await running;
      expect(answer.status).toBe(504);
      expect((await gateway).code).toBe(0);
      expect((await mayfly.workers[0]?.end('SIGTERM'))?.code).toBe(0);
    } finally {
      await mayfly.stop();
    }
  }, 60_000);

  it('lets no call wait behind a long-running guest while another slot is free', async () => {
    const mayfly = await startMayfly({ env: { MAYFLY_WORKER_SLOTS: '2' } });
    try {
      await mayfly.upload('spin');
      await mayfly.upload('hello');
      // Sandboxes of hello come to live on both slots before one of the slots is taken.
      const greet = () => mayfly.invoke({ function: 'hello', args: ['x'] });
      for (let i = 0; i < 5; i += 1) await Promise.all(Array.from({ length: 8 }, greet));
      const spin = { function: 'spin', entrypoint: 'Spin', args: [], returns: 'void', timeoutMs: 4000 };
      let ended = false;
      const long = mayfly.invoke(spin).then((answer) => {
        ended = true;
        return answer;
      });
      for (let i = 0; i < 100; i += 1) expect((await greet()).status).toBe(200);
      expect(ended, 'all were served while the guest was spinning').toBe(false);
      expect((await long).status).toBe(504);
    } finally {
      await mayfly.stop();
    }
  }, 60_000);
});
