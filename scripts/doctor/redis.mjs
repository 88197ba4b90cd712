import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { root, which } from '../lib/exec.mjs';

/** What INFO, which gateways may ask too, says of a Redis that a queue can live with, and what happens without. */
const WANTED = [
  {
    field: 'maxmemory_policy',
    isRight: (value) => value === 'noeviction',
    level: 'missing',
    advice: 'Redis would drop jobs and records: CONFIG SET maxmemory-policy noeviction',
  },
  {
    field: 'aof_enabled',
    isRight: (value) => value === '1',
    level: 'warn',
    advice: 'Accepted invocations are lost with the process: CONFIG SET appendonly yes',
  },
  {
    field: 'maxmemory',
    isRight: (value) => Number(value) > 0,
    level: 'warn',
    advice: 'No load is shed before the host is out of memory: CONFIG SET maxmemory 1gb',
  },
];

export async function redisFindings() {
  const url = process.env.MAYFLY_REDIS_URL;
  if (!url) {
    const program = which('redis-server') ?? which('valkey-server');
    if (program)
      return [
        {
          level: 'ok',
          what: `private Redis by ${program}, set up by npm start (append-only file, noeviction)`,
        },
      ];
    return [
      {
        level: 'missing',
        what: 'redis-server',
        advice:
          'apt-get install -y --no-install-recommends redis-server (npm start does it as root or with sudo), or set MAYFLY_REDIS_URL.',
      },
    ];
  }
  const manifest = path.join(root, 'apps/gateway/package.json');
  const addresses = path.join(root, 'libs/contracts/dist/redis-url.js');
  if (!existsSync(addresses))
    return [
      {
        level: 'note',
        what: 'MAYFLY_REDIS_URL is not checked before the first npm start has installed a client',
      },
    ];
  const { parseRedisUrl } = await import(addresses);
  const address = parseRedisUrl(url);
  if (address === undefined)
    return [{ level: 'missing', what: 'MAYFLY_REDIS_URL is not the URL of a Redis', advice: 'Correct it.' }];
  const { Redis } = createRequire(manifest)('ioredis');
  const redis = new Redis({
    ...address,
    ...{ lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null },
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    const info = await redis.info();
    const findings = [{ level: 'ok', what: 'Redis at MAYFLY_REDIS_URL answers' }];
    for (const { field, isRight, level, advice } of WANTED) {
      const value = new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? 'unknown';
      findings.push({ level: isRight(value) ? 'ok' : level, what: `${field} ${value}`, advice });
    }
    return findings.map(({ level, what, advice }) =>
      level === 'ok' ? { level, what } : { level, what, advice },
    );
  } catch (error) {
    return [
      {
        level: 'missing',
        what: `Redis at MAYFLY_REDIS_URL: ${error.message}`,
        advice: 'Start it, or unset the variable to use a private one.',
      },
    ];
  } finally {
    redis.disconnect();
  }
}
