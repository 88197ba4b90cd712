import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { sweepBlobs } from '../src/retention.js';
import { startGateway } from './support/test-gateway.js';

it('sweeps payloads past their retention, and never an artifact that a version needs or an input of a dead letter', async () => {
  const gateway = await startGateway();
  const { sha256: artifact } = await (await gateway.upload('fn')).json();
  const old = await gateway.blobs.put('default', Buffer.from('an old payload'));
  const agedAt = new Date(Date.now() - LIMITS.resultRetentionMs - 3_700_000);
  const folder = join(gateway.dataDir, 'blobs/objects/default');
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) await utimes(join(entry.parentPath, entry.name), agedAt, agedAt);
  const fresh = await gateway.blobs.put('default', Buffer.from('a payload of today'));
  const { registry, deadLetters } = gateway.services;
  const sweep = () => sweepBlobs({ blobs: gateway.blobs, registry, deadLetters, tenant: 'default' });
  const redis = new Redis({ path: gateway.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const input = { kind: 'blob', of: 'bytes', sha256: old.sha256, lengthBytes: 1 };
  await redis.zadd('mf:s:dead:default:fn', Date.now(), 'inv_1');
  await redis.set('mf:s:letter:default:inv_1', JSON.stringify({ item: { input } }));
  expect(await sweep()).toBe(0);
  await deadLetters.purge('default', 'fn', ['inv_1']);
  expect(await sweep()).toBe(1);
  expect(await gateway.blobs.has('default', old.sha256)).toBe(false);
  expect(await gateway.blobs.has('default', fresh.sha256)).toBe(true);
  expect(await gateway.blobs.has('default', artifact)).toBe(true);
  await gateway.fetch('/v1/functions/fn', { method: 'DELETE' });
  expect(await sweep()).toBe(1);
  expect(await gateway.blobs.has('default', artifact)).toBe(false);
});
