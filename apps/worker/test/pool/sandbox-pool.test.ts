import { expect, test } from 'vitest';
import type { GuestSandbox } from '../../src/pool/guest-image.js';
import { type Lease, type PoolOptions, SandboxPool } from '../../src/pool/sandbox-pool.js';
import { functionRef } from '../helpers/jobs.js';
import { deferred, ScriptedImages } from '../helpers/scripted-images.js';

const ROOMY = { maxSandboxes: 100, maxMemoryBytes: 1_000_000 };

function poolOf(images: ScriptedImages, options: Partial<PoolOptions> = {}) {
  return new SandboxPool(images, { limits: ROOMY, ...options });
}

async function leaseOf(pool: SandboxPool, name = 'f'): Promise<Extract<Lease, { ok: true }>> {
  const lease = await pool.lease(functionRef({ name }));
  if (!lease.ok) throw new Error(lease.failure.detail.message);
  return lease;
}

test('the first call boots, the next one is warm, one beside it comes from the snapshot', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  const first = await leaseOf(pool);
  first.release({ doubtful: false });
  const second = await leaseOf(pool);
  const beside = await leaseOf(pool);
  expect([first.source, second.source, beside.source]).toEqual(['boot', 'warm', 'snapshot']);
  expect(second.sandbox).toBe(first.sandbox);
  expect(beside.sandbox).not.toBe(first.sandbox);
  expect(images.builds).toBe(1);
});

test('calls that arrive together share one build', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  const leases = await Promise.all(Array.from({ length: 5 }, () => leaseOf(pool)));
  expect(images.builds).toBe(1);
  expect(new Set(leases.map(({ sandbox }) => sandbox)).size).toBe(5);
});

test.each([
  ['another tenant', { tenant: 'other' }],
  ['another version', { version: 2 }],
  ['another binary', { artifactSha256: 'b'.repeat(64) }],
  ['another memory', { memory: { ...functionRef().memory, heapBytes: 8192 } }],
])('%s never gets the sandbox of the first', async (_name, difference) => {
  const pool = poolOf(new ScriptedImages());
  const first = await pool.lease(functionRef());
  if (first.ok) first.release({ doubtful: false });
  const other = await pool.lease(functionRef(difference));
  expect(first.ok && other.ok && other.sandbox !== first.sandbox).toBe(true);
});

test.each([
  ['a doubtful one', { doubtful: true }, false],
  ['a poisoned one', { doubtful: false }, true],
])('%s is closed, not given out again', async (_name, how, poisoned) => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  const first = await leaseOf(pool);
  const [sandbox] = images.sandboxes;
  if (sandbox) sandbox.poisoned = poisoned;
  first.release(how);
  expect(sandbox?.isClosed).toBe(true);
  const next = await leaseOf(pool);
  expect(next.sandbox).not.toBe(first.sandbox);
  expect(pool.use.sandboxes).toBe(1);
});

test('a version that cannot be initialised answers so to each call, for a while without another try', async () => {
  const images = new ScriptedImages();
  const failure = { outcome: 'aborted', detail: { message: 'no' } } as const;
  images.onBuild = async () => ({ ok: false, failure });
  const pool = poolOf(images);
  for (let call = 0; call < 3; call += 1)
    expect(await pool.lease(functionRef())).toEqual({ ok: false, failure });
  expect(images.builds).toBe(1);
});

test('a failed initialisation is tried again once its time is over', async () => {
  const images = new ScriptedImages();
  images.onBuild = async () => ({ ok: false, failure: { outcome: 'aborted', detail: { message: 'no' } } });
  const pool = poolOf(images, { failureTtlMs: 0 });
  await pool.lease(functionRef());
  images.onBuild = undefined;
  expect((await pool.lease(functionRef())).ok).toBe(true);
});

test('a host fault of a build reaches everybody who waits, and is not kept', async () => {
  const images = new ScriptedImages();
  images.onBuild = () => Promise.reject(new Error('disk'));
  const pool = poolOf(images);
  const calls = await Promise.allSettled([leaseOf(pool), leaseOf(pool)]);
  expect(calls.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(images.builds).toBe(1);
  images.onBuild = undefined;
  expect((await leaseOf(pool)).source).toBe('boot');
});

test('a host fault of a clone gives its room back', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  await leaseOf(pool);
  const before = pool.use;
  images.onInstantiate = () => Promise.reject(new Error('no fds'));
  await expect(leaseOf(pool)).rejects.toThrow('no fds');
  expect(pool.use).toEqual(before);
});

test('a version that is prepared in the background serves its first call warm', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  await pool.prepare(functionRef({ name: 'f' }), 'background');
  expect(pool.prepare(functionRef({ name: 'f' }))).toBeUndefined();
  expect((await leaseOf(pool)).source).toBe('warm');
});

test('a version that a call waits for is built before one in the background', async () => {
  const images = new ScriptedImages();
  const gate = deferred();
  const built: string[] = [];
  images.onBuild = async (ref) => {
    built.push(ref.name);
    await gate.promise;
    return images.scriptedImage();
  };
  const pool = poolOf(images);
  const all = [
    pool.prepare(functionRef({ name: 'first' }), 'background'),
    pool.prepare(functionRef({ name: 'background' }), 'background'),
    pool.prepare(functionRef({ name: 'call' }), 'call'),
  ];
  gate.resolve();
  await Promise.all(all);
  expect(built).toEqual(['first', 'call', 'background']);
});

test('of idle sandboxes the one on a free slot is taken', async () => {
  const images = new ScriptedImages();
  images.slots = [0, 1, 0];
  const pool = poolOf(images, { slots: 2 });
  const leases = [await leaseOf(pool), await leaseOf(pool), await leaseOf(pool)];
  for (const lease of leases) lease.release({ doubtful: false });
  const first = await leaseOf(pool);
  const second = await leaseOf(pool);
  expect([first.sandbox.slot, second.sandbox.slot]).toEqual([0, 1]);
});

test('where only busy slots have idle sandboxes and one is free, a new sandbox is made', async () => {
  const images = new ScriptedImages();
  images.slots = [0, 0, 1];
  const pool = poolOf(images, { slots: 2 });
  const [first, second] = [await leaseOf(pool), await leaseOf(pool)];
  second.release({ doubtful: false });
  expect((await leaseOf(pool)).sandbox.slot).toBe(1);
  // Now both are busy, and the idle one waits its turn.
  expect((await leaseOf(pool)).sandbox).toBe(second.sandbox);
  first.release({ doubtful: false });
});

test('a call that is held up is taken off, and its sandbox serves the next one', async () => {
  const images = new ScriptedImages();
  images.slots = [0, 0];
  const pool = poolOf(images, { slots: 2 });
  const long = await leaseOf(pool);
  const heldUp = await leaseOf(pool);
  await images.sandboxes[1]?.revoked.promise;
  expect([long.isRevoked, heldUp.isRevoked]).toEqual([false, true]);
  heldUp.release({ doubtful: false });
  long.release({ doubtful: false });
  expect([pool.use.sandboxes, images.openSandboxes]).toEqual([2, 2]);
});

test('idle sandboxes of versions that were used longest ago make room', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images, { limits: { ...ROOMY, maxSandboxes: 2 } });
  const sandboxes: GuestSandbox[] = [];
  for (const name of ['a', 'b', 'c']) {
    const lease = await leaseOf(pool, name);
    sandboxes.push(lease.sandbox);
    lease.release({ doubtful: false });
  }
  expect(images.sandboxes.map(({ isClosed }) => isClosed)).toEqual([true, false, false]);
  expect((await leaseOf(pool, 'a')).source).toBe('snapshot');
});

test('memory is kept within its limit, images included', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images, { limits: { ...ROOMY, maxMemoryBytes: 4000 } });
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    (await leaseOf(pool, name)).release({ doubtful: false });
    expect(pool.use.memoryBytes).toBeLessThanOrEqual(4000);
  }
  expect(images.openSandboxes * 1000 + images.openImages.size * 1000).toBe(pool.use.memoryBytes);
});

test('a pool that is full of running calls says so by name', async () => {
  const pool = poolOf(new ScriptedImages(), { limits: { ...ROOMY, maxSandboxes: 1 } });
  const running = await leaseOf(pool, 'a');
  await expect(leaseOf(pool, 'a')).rejects.toMatchObject({ code: 'MAYFLY_ERR_POOL_FULL' });
  await expect(leaseOf(pool, 'b')).rejects.toMatchObject({ code: 'MAYFLY_ERR_POOL_FULL' });
  running.release({ doubtful: false });
  expect((await leaseOf(pool, 'b')).ok).toBe(true);
});

test('what does not fit after its build is closed again', async () => {
  const images = new ScriptedImages();
  images.memoryBytes = 600;
  const pool = poolOf(images, { limits: { ...ROOMY, maxMemoryBytes: 1000 } });
  await expect(leaseOf(pool)).rejects.toMatchObject({ code: 'MAYFLY_ERR_POOL_FULL' });
  expect([images.openSandboxes, images.openImages.size]).toEqual([0, 0]);
  expect(pool.use).toMatchObject({ sandboxes: 0, memoryBytes: 0, versions: 0, leased: 0 });
});

test('versions that evict each other at every build end by name, not in a loop', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images, { limits: { ...ROOMY, maxMemoryBytes: 2500 } });
  const ends = await Promise.allSettled(['a', 'b', 'a', 'b'].map((name) => leaseOf(pool, name)));
  const reasons = ends.map((end) => (end.status === 'rejected' ? end.reason.code : 'leased'));
  expect(reasons).toContain('MAYFLY_ERR_POOL_FULL');
  expect(pool.use.memoryBytes).toBeLessThanOrEqual(2500);
});

test('close closes everything: idle now, leased when it comes back', async () => {
  const images = new ScriptedImages();
  const pool = poolOf(images);
  (await leaseOf(pool, 'a')).release({ doubtful: false });
  const running = await leaseOf(pool, 'b');
  await pool.close();
  expect(images.openSandboxes).toBe(1);
  running.release({ doubtful: false });
  await pool.close();
  expect([images.openSandboxes, images.openImages.size]).toEqual([0, 0]);
  await expect(leaseOf(pool)).rejects.toMatchObject({ code: 'MAYFLY_ERR_POOL_CLOSED' });
});

test('close waits for a build and closes what it gave', async () => {
  const images = new ScriptedImages();
  const gate = deferred();
  images.onBuild = async () => {
    await gate.promise;
    return images.scriptedImage();
  };
  const pool = poolOf(images);
  const lease = leaseOf(pool);
  const closed = pool.close();
  gate.resolve();
  await expect(lease).rejects.toMatchObject({ code: 'MAYFLY_ERR_POOL_CLOSED' });
  await closed;
  expect([images.openSandboxes, images.openImages.size]).toEqual([0, 0]);
});
