import { isMayflyError } from '@mayfly/contracts';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config.js';

const REQUIRED = { MAYFLY_REDIS_URL: 'redis+unix:///run/redis.sock' };

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (!isMayflyError(error, 'MAYFLY_ERR_CONFIG')) throw error;
    const { problems } = error.details;
    return problems as string[];
  }
  return [];
}

test('a Redis URL is all that is required', () => {
  const config = loadConfig(REQUIRED);
  expect(config.slots).toBeGreaterThan(0);
  expect(config.workerId).toMatch(/^w-/);
  expect(Object.isFrozen(config)).toBe(true);
});

test('values are read', () => {
  const config = loadConfig({
    ...REQUIRED,
    MAYFLY_DATA_DIR: '/var/lib/mayfly',
    MAYFLY_WORKER_ID: 'w1',
    MAYFLY_WORKER_SLOTS: '3',
    MAYFLY_WORKER_CALLS_AHEAD: '0',
    MAYFLY_WORKER_MAX_MEMORY_BYTES: '1073741824',
    MAYFLY_WORKER_LOG_LEVEL: 'silent',
    MAYFLY_ISOLATION: 'process',
  });
  expect(config).toMatchObject({
    isolation: 'process',
    dataDirectory: '/var/lib/mayfly',
    workerId: 'w1',
    slots: 3,
    callsAhead: 0,
    maxMemoryBytes: 1_073_741_824,
    logLevel: 'silent',
  });
});

test('another process’s variables are none of ours', () => {
  expect(problemsOf({ ...REQUIRED, MAYFLY_PORT: '8080', MAYFLY_TENANT_KEY: 'k' })).toEqual([]);
});

test.each([
  ['no Redis', {}, 'MAYFLY_REDIS_URL: required'],
  [
    'a Redis of another kind',
    { MAYFLY_REDIS_URL: 'http://x' },
    'MAYFLY_REDIS_URL=(not shown): expected redis://',
  ],
  ['an unknown variable', { ...REQUIRED, MAYFLY_WORKER_SLOT: '2' }, 'MAYFLY_WORKER_SLOT: unknown variable'],
  ['no slots', { ...REQUIRED, MAYFLY_WORKER_SLOTS: '0' }, 'expected an integer from 1 to 256'],
  ['half a slot', { ...REQUIRED, MAYFLY_WORKER_SLOTS: '1.5' }, 'expected an integer'],
  ['a number with a unit', { ...REQUIRED, MAYFLY_WORKER_DRAIN_GRACE_MS: '5s' }, 'expected an integer'],
  ['a name with a space', { ...REQUIRED, MAYFLY_WORKER_ID: 'a b' }, 'expected text that matches'],
  [
    'too little memory',
    { ...REQUIRED, MAYFLY_WORKER_MAX_MEMORY_BYTES: '1' },
    'expected an integer from 67108864',
  ],
  ['an unknown log level', { ...REQUIRED, MAYFLY_WORKER_LOG_LEVEL: 'loud' }, 'expected one of fatal, error'],
  [
    'fewer sandboxes than calls',
    {
      ...REQUIRED,
      MAYFLY_WORKER_SLOTS: '4',
      MAYFLY_WORKER_CALLS_AHEAD: '4',
      MAYFLY_WORKER_MAX_SANDBOXES: '7',
    },
    'MAYFLY_WORKER_MAX_SANDBOXES: expected at least slots + calls ahead, 8',
  ],
])('%s is a problem', (_name, env, problem) => {
  expect(problemsOf(env)).toEqual([expect.stringContaining(problem)]);
});

test('all problems are told at once', () => {
  expect(problemsOf({ MAYFLY_WORKER_SLOTS: 'x', MAYFLY_WORKER_NOPE: '' })).toHaveLength(3);
});
