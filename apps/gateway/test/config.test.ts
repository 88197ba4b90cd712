import { describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config.js';

const KEY = { MAYFLY_TENANT_KEY: 'mf_0123456789' };

function problemsOf(env: Record<string, string>): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    return (error as { details: { problems: string[] } }).details.problems;
  }
  return [];
}

describe('loadConfig', () => {
  it('has a default for everything; the tenant of the environment is there with its key', () => {
    const config = loadConfig(KEY);
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      redis: { host: '127.0.0.1', port: 6379 },
      tenant: 'default',
      tenantKey: 'mf_0123456789',
      tenantRequiresKvm: 'any',
    });
    expect(config.gatewayId).toMatch(/^[0-9a-f]{12}$/);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('takes a Redis over TCP and over a unix socket', () => {
    expect(loadConfig({ ...KEY, MAYFLY_REDIS_URL: 'redis://u:p@h:1/2' }).redis).toEqual({
      ...{ username: 'u', password: 'p', host: 'h', port: 1, db: 2 },
    });
    expect(loadConfig({ ...KEY, MAYFLY_REDIS_URL: 'redis+unix:///run/r.sock' }).redis).toEqual({
      path: '/run/r.sock',
    });
  });

  it('takes an empty variable as absent', () => {
    expect(loadConfig({ ...KEY, MAYFLY_PORT: '' }).port).toBe(8080);
    expect(loadConfig({ MAYFLY_TENANT_KEY: '' }).tenantKey).toBeUndefined();
  });

  it.each([
    ['MAYFLY_PORT', '70000'],
    ['MAYFLY_PORT', '80a'],
    ['MAYFLY_PORT', '-1'],
    ['MAYFLY_HOST', 'a b'],
    ['MAYFLY_REDIS_URL', 'http://x'],
    ['MAYFLY_REDIS_URL', 'redis+unix://'],
    ['MAYFLY_TENANT', '../x'],
    ['MAYFLY_TENANT', 'A'],
    ['MAYFLY_TENANT_KEY', 'short'],
    ['MAYFLY_TENANT_KEY', 'with a space in it'],
    ['MAYFLY_TENANT_REQUIRES_KVM', 'Hardware'],
    ['MAYFLY_GATEWAY_OIDC_ISSUER', 'http://issuer.example.org'],
    ['MAYFLY_GATEWAY_OIDC_ISSUER', 'https://issuer.example.org'],
    ['MAYFLY_GATEWAY_OIDC_ISSUER', 'https://a:b@issuer.example.org'],
    ['MAYFLY_GATEWAY_OIDC_AUDIENCE', 'mayfly'],
    ['MAYFLY_GATEWAY_OIDC_TENANT_CLAIM', 'a b'],
    ['MAYFLY_GATEWAY_ID', 'a/b'],
    ['MAYFLY_GATEWAY_MAX_IN_FLIGHT', '0'],
    ['MAYFLY_GATEWAY_DRAIN_MS', '1s'],
    ['MAYFLY_GATEWAY_TYPO', '1'],
  ])('refuses %s=%s by name', (name, value) => {
    const problems = problemsOf({ ...KEY, [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(name);
  });

  it('names every problem at once and no secret', () => {
    const problems = problemsOf({
      MAYFLY_PORT: 'x',
      MAYFLY_GATEWAY_NOPE: '1',
      MAYFLY_TENANT_KEY: 'bad key here',
      MAYFLY_REDIS_URL: 'ftp://secret@x',
    });
    expect(problems).toHaveLength(4);
    expect(problems.join()).not.toMatch(/bad key|secret/);
  });

  it('leaves the variables of others alone', () => {
    expect(problemsOf({ ...KEY, MAYFLY_WORKER_SLOTS: '2', PATH: '/bin' })).toEqual([]);
  });
});
