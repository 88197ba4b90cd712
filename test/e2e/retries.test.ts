import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

interface Shown {
  readonly invocationId: string;
  readonly state: string;
  readonly attempt: number;
  readonly attempts: readonly { readonly workerId: string; readonly outcome: string }[];
  readonly origin?: string;
}

/** Real processes, real micro-VMs: async calls that fail, and workers that die under them. */
describe.skipIf(!kvmWorks)('attempts', () => {
  let mayfly: Mayfly;

  beforeAll(async () => {
    mayfly = await startMayfly();
    expect((await mayfly.upload('retries')).ok).toBe(true);
    const config = await mayfly.request('/v1/functions/retries/config');
    const answer = await mayfly.request('/v1/functions/retries/config', {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'if-match': config.headers.get('etag') ?? '' },
      body: JSON.stringify({ retry: { attempts: 3, minBackoffMs: 50, retryOn: ['guest-error'] } }),
    });
    expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
  });
  afterAll(() => mayfly?.stop());

  const json = async <T>(target: string, init?: RequestInit): Promise<T> =>
    (await (await mayfly.request(target, init)).json()) as T;
  const show = (id: string) => json<Shown>(`/v1/invocations/${id}`);
  const post = (target: string, body: unknown, headers: Record<string, string> = {}) => ({
    target,
    init: {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    },
  });
  async function call(entrypoint: string, args: readonly unknown[]): Promise<string> {
    const body = { function: 'retries', entrypoint, args, timeoutMs: 30_000 };
    const { target, init } = post('/invoke', body, { prefer: 'respond-async' });
    return (await json<Shown>(target, init)).invocationId;
  }
  const ended = async (id: string, state: string): Promise<Shown> => {
    await expect.poll(async () => (await show(id)).state, { timeout: 60_000 }).toBe(state);
    return show(id);
  };

  it('are made again after the guest’s error, and the guest knows which one it is', async () => {
    const id = await call('SucceedAt', [3]);
    const shown = await ended(id, 'succeeded');
    expect(shown.attempts.map(({ outcome }) => outcome)).toEqual(['guest-error', 'guest-error', 'succeeded']);
    const result = await json<{ result: { value: string } }>(`/v1/invocations/${id}/result`);
    expect(result.result.value).toBe(`3 ${id}`);
  });

  it('that are used up make a dead letter, which can be redriven', async () => {
    const id = await call('SucceedAt', [4]);
    expect((await ended(id, 'dead_lettered')).attempts).toHaveLength(3);
    const letters = await json<{ items: Shown[] }>('/v1/functions/retries/dead-letters');
    expect(letters.items).toMatchObject([{ invocationId: id, outcome: 'guest-error', attempts: 3 }]);
    const { target, init } = post('/v1/functions/retries/dead-letters/redrive', { all: true });
    const { redriven } = await json<{ redriven: { invocationId: string }[] }>(target, init);
    const again = await ended(redriven[0]?.invocationId ?? '', 'dead_lettered');
    expect([again.origin, again.attempts.length]).toEqual([id, 3]);
  });

  it('go on elsewhere when their worker is killed in the middle of one', async () => {
    const id = await call('SpinFirst', []);
    await expect.poll(async () => (await show(id)).state, { timeout: 30_000 }).toBe('running');
    await mayfly.startWorker();
    await mayfly.workers[0]?.end('SIGKILL');
    const shown = await ended(id, 'succeeded');
    expect(shown.attempts.map(({ outcome }) => outcome)).toEqual(['host-fault', 'succeeded']);
    expect(shown.attempts[0]?.workerId).not.toBe(shown.attempts[1]?.workerId);
  });
});
