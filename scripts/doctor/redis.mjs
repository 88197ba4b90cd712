import { existsSync } from 'node:fs';
import path from 'node:path';
import { root, which } from '../lib/exec.mjs';

/** Settings of an external Redis that a queue must have, and what happens without. */
const WANTED = {
  'maxmemory-policy': {
    value: 'noeviction',
    level: 'missing',
    advice: 'Redis would drop jobs and records: CONFIG SET maxmemory-policy noeviction',
  },
  appendonly: {
    value: 'yes',
    level: 'warn',
    advice: 'Accepted invocations are lost with the process: CONFIG SET appendonly yes',
  },
};

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
  const client = path.join(root, 'apps/gateway/dist/redis.js');
  if (!existsSync(client))
    return [
      {
        level: 'note',
        what: 'MAYFLY_REDIS_URL is not checked before the first npm start has installed a client',
      },
    ];
  const { connectRedis } = await import(client);
  const redis = connectRedis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null });
  try {
    await redis.connect();
    const findings = [{ level: 'ok', what: `Redis at MAYFLY_REDIS_URL answers` }];
    for (const [name, { value, level, advice }] of Object.entries(WANTED)) {
      const actual = (await redis.config('GET', name))[1];
      findings.push(
        actual === value
          ? { level: 'ok', what: `${name} ${actual}` }
          : { level, what: `${name} is ${actual}, not ${value}`, advice },
      );
    }
    return findings;
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
