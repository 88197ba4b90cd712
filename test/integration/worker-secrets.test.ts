import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type FunctionRef, type InvocationItem, type JsonValue, keys } from '@mayfly/contracts';
import { SecretKeys } from '@mayfly/secrets';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { TestCollector } from '../telemetry/support/collector.js';
import { callOf, WorkerHost, type WorkerProcess } from './worker-host.js';

/** Text that nothing else holds, so that a search for it finds the secret alone. */
const PLAIN = `pw-${randomBytes(24).toString('hex')}`;
const key = randomBytes(32);

describe.skipIf(!kvmWorks)('secrets on a worker (skipped where /dev/kvm cannot be opened)', () => {
  let host: WorkerHost;
  let worker: WorkerProcess;
  let guest: FunctionRef;
  let folder: string;
  const collector = new TestCollector();
  let monitor: Socket;
  /** Every command that Redis was sent. */
  const commands: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'mf-secrets-'));
    const keyFile = path.join(folder, 'keys');
    await writeFile(keyFile, `${key.toString('hex')}\n`);
    host = await WorkerHost.start();
    const endpoint = await collector.listen();
    monitor = createConnection(host.server.socketPath);
    monitor.write('MONITOR\r\n');
    await once(monitor, 'data');
    monitor.on('data', (chunk: Buffer) => commands.push(chunk.toString('latin1')));
    worker = await host.startWorker('w1', {
      MAYFLY_SECRETS_KEY_FILE: keyFile,
      MAYFLY_WORKER_LOG_LEVEL: 'trace',
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_TRACES_SAMPLER: 'always_on',
    });
    guest = await host.publish('settings');
    await put('password', 1, PLAIN);
  });
  afterAll(async () => {
    monitor?.destroy();
    await host?.stop();
    await collector.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function put(name: string, version: number, plain: string, sealing = key): Promise<void> {
    const sealed = new SecretKeys([sealing]).seal({ tenant: 'acme', name, version }, Buffer.from(plain));
    await host.redis.hset(keys.secret('acme', name), `v${version}`, sealed);
  }
  const text = (value: string): JsonValue => ({ type: 'string', value });
  const call = (entrypoint: string, name: string, extra: Partial<InvocationItem>) => {
    const returns = ({ Env: 'string', Secret: 'bytes', Keep: 'int' } as const)[entrypoint] ?? 'string';
    return host.call(guest, callOf(entrypoint, [text(name)], returns, extra));
  };
  const granted = { secrets: { password: 1 } };
  const base64 = (plain: string) => Buffer.from(plain).toString('base64');

  test('a guest gets the secrets that its call was granted, and its environment values', async () => {
    expect((await call('Secret', 'password', granted)).result).toEqual({
      kind: 'inline',
      value: { type: 'bytes', value: base64(PLAIN) },
    });
    expect((await call('Env', 'STAGE', { env: { STAGE: 'prod ☃' } })).result).toEqual({
      kind: 'inline',
      value: text('prod ☃'),
    });
  });

  test('each call gets the version that it names', async () => {
    await put('token', 1, 'first');
    await put('token', 2, 'second');
    for (const [version, plain] of [
      [1, 'first'],
      [2, 'second'],
      [1, 'first'],
    ] as const)
      expect((await call('Secret', 'token', { secrets: { token: version } })).result).toMatchObject({
        value: { value: base64(plain) },
      });
  });

  test.each([
    ['no grant', 'password', {}],
    ['a grant of another one', 'password', { secrets: { token: 1 } }],
    ['the name of a property that every object has', 'constructor', granted],
    ['a version that was deleted', 'password', { secrets: { password: 9 } }],
  ])('a call with %s has a guest error that says so', async (_, name, extra) => {
    const record = await call('Secret', name, extra);
    expect(record).toMatchObject({ outcome: 'guest-error', detail: { guestCode: 17 } });
    expect(record.detail?.message).toMatch(/not granted|was deleted/);
    expect(JSON.stringify(record)).not.toContain(PLAIN);
  });

  test('a tenant’s call finds none of another tenant’s secrets', async () => {
    const other = await host.publish('settings', { tenant: 'rival' });
    const item = callOf('Secret', [text('password')], 'bytes', granted);
    const record = await host.call(other, item);
    expect(record).toMatchObject({ outcome: 'guest-error', detail: { guestCode: 17 } });
  });

  test('a sealed text that was moved, or whose key is not there, is named in the log and not to the guest', async () => {
    const sealed = await host.redis.hget(keys.secret('acme', 'password'), 'v1');
    await host.redis.hset(keys.secret('acme', 'moved'), 'v1', sealed ?? '');
    await put('foreign', 1, 'x', randomBytes(32));
    for (const [name, code] of [
      ['moved', 'MAYFLY_ERR_SECRETS_SEALED'],
      ['foreign', 'MAYFLY_ERR_SECRETS_KEY_UNKNOWN'],
    ] as const) {
      const record = await call('Secret', name, { secrets: { [name]: 1 } });
      expect(record).toMatchObject({ outcome: 'guest-error' });
      expect(record.detail?.message).toContain(`the secret ${name} cannot be read`);
      expect(worker.output()).toContain(code);
    }
  });

  test('a guest learns neither while it is initialised', async () => {
    const record = await host.call(guest, callOf('Start', [], 'string', { ...granted, env: { STAGE: 'x' } }));
    expect(record.result).toEqual({ kind: 'inline', value: text('none none') });
  });

  test('a job whose grants are none is refused by name', async () => {
    for (const extra of [{ secrets: { password: '1' } }, { env: { A: 1 } }, { secrets: [1] }]) {
      const item = callOf('Env', [text('A')], 'string', extra as unknown as Partial<InvocationItem>);
      expect(await host.call(guest, item)).toMatchObject({
        outcome: 'host-fault',
        detail: { message: expect.stringContaining('MAYFLY_ERR_JOB_MALFORMED') },
      });
    }
  });

  test('a secret is in no job, record, log line, span or file', async () => {
    const plain = `only-${randomBytes(24).toString('hex')}`;
    await put('quiet', 1, plain);
    const record = await call('Keep', 'quiet', { secrets: { quiet: 1 } });
    expect(record.result).toMatchObject({ value: { value: plain.length } });
    const exported = () => shown([collector.spans, collector.logs, collector.metrics]);
    await collector.until('the span of the call', () => exported().includes(record.invocationId));
    const files = await filesBelow(host.directory);
    expect(files.length).toBeGreaterThan(0);
    const places: Record<string, string> = {
      'commands of Redis': commands.join(''),
      'output of the worker': worker.output(),
      telemetry: exported(),
      files: files.join('\n'),
    };
    expect(places['commands of Redis']).toContain('quiet');
    for (const [place, found] of Object.entries(places))
      for (const form of [plain, base64(plain).slice(0, 40), Buffer.from(plain).toString('hex')])
        expect(found.includes(form), `${place} hold it`).toBe(false);
  });
});

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((entry) => readFile(path.join(entry.parentPath, entry.name), 'latin1')));
}

const shown = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? String(field) : field));
