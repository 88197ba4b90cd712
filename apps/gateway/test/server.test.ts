import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../../test/helpers/redis.js';

const SERVER = fileURLToPath(import.meta.resolve('@mayfly/gateway/server'));

function start(env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [SERVER], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function output(stream: NodeJS.ReadableStream | null): Promise<string> {
  let all = '';
  for await (const chunk of stream ?? []) all += chunk.toString();
  return all;
}

describe('the gateway process', () => {
  it('exits 78 with every problem of its configuration', async () => {
    const child = start({ MAYFLY_PORT: 'x', MAYFLY_GATEWAY_NOPE: '1', MAYFLY_TENANT_KEY: 'short' });
    const [text, [code]] = await Promise.all([output(child.stderr), once(child, 'exit')]);
    expect(code).toBe(78);
    for (const name of ['MAYFLY_PORT', 'MAYFLY_GATEWAY_NOPE', 'MAYFLY_TENANT_KEY'])
      expect(text).toContain(name);
  });

  it('exits 1 when Redis is not there', async () => {
    const child = start({
      MAYFLY_TENANT_KEY: 'mf_0123456789',
      MAYFLY_REDIS_URL: 'redis+unix:///nonexistent/r',
    });
    child.stdout?.resume();
    expect((await once(child, 'exit'))[0]).toBe(1);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('listens, and drains and exits 0 on %s', async (signal) => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const dataDir = await mkdtemp(join(tmpdir(), 'mf-gw-'));
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
    const child = start({
      MAYFLY_TENANT_KEY: 'mf_0123456789',
      MAYFLY_PORT: '0',
      MAYFLY_GATEWAY_METRICS_PORT: '0',
      MAYFLY_REDIS_URL: redis.urls.gateway,
      MAYFLY_DATA_DIR: dataDir,
    });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const exited = once(child, 'exit');
    const seen: string[] = [];
    for await (const line of lines) {
      const { msg, addresses } = JSON.parse(line);
      seen.push(msg);
      if (msg !== 'listening') continue;
      const response = await fetch(`http://127.0.0.1:${addresses[0].port}/livez`);
      expect(response.status).toBe(200);
      child.kill(signal);
    }
    expect((await exited)[0]).toBe(0);
    // This Redis has no limit, which operators are told first.
    expect(seen.shift()).toContain('maxmemory');
    expect(seen).toEqual(['serving metrics', 'listening', 'draining', 'drained']);
  });
});
