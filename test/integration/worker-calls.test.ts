import { LIMITS } from '@mayfly/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

describe.skipIf(!kvmWorks)('a worker on KVM (skipped where /dev/kvm cannot be opened)', () => {
  let host: WorkerHost;

  beforeAll(async () => {
    host = await WorkerHost.start();
    await host.startWorker('w1');
  });
  afterAll(() => host?.stop());

  test('a guest answers in its own micro-VM, and its record says so', async () => {
    const hello = await host.publish('hello');
    const item = callOf('Hello', [{ type: 'string', value: 'Ada' }], 'string');
    const record = await host.call(hello, item);
    expect(record).toMatchObject({
      outcome: 'succeeded',
      result: { kind: 'inline', value: { type: 'string', value: 'Hello, Ada!' } },
      usage: { source: 'boot' },
    });
    expect(record.usage.exits).toBeGreaterThan(0);
    const again = await host.call(hello, callOf('Hello', [{ type: 'string', value: 'Bob' }], 'string'));
    expect(again.usage.source).toBe('warm');
    expect(again.timings.runUs).toBeGreaterThan(0);
  });

  test('bytes come back as they went, inline and by blob', async () => {
    const echo = await host.publish('echo');
    for (const lengthBytes of [0, 1, LIMITS.inlineBytes, LIMITS.inlineBytes + 1, 500_000]) {
      const bytes = Buffer.alloc(lengthBytes, 'mayfly');
      const { sha256 } = await host.blobs.put('acme', bytes);
      const item = callOf('EchoBytes', [], 'bytes', {
        input: { kind: 'blob', of: 'bytes', sha256, lengthBytes },
      });
      const before = host.replies.replies.length;
      const record = await host.call(echo, item);
      expect(record.outcome).toBe('succeeded');
      const replies = await host.replies.received(before + 1);
      // What fits into the record travels there alone.
      const inline =
        record.result?.kind === 'inline' ? Buffer.from(`${record.result.value.value}`, 'base64') : undefined;
      expect(inline !== undefined).toBe(lengthBytes <= LIMITS.inlineBytes);
      expect(bytes.equals(inline ?? replies[before]?.body ?? Buffer.from('none'))).toBe(true);
    }
  });

  test('no call sees what another left behind', async () => {
    const state = await host.publish('state');
    const items = Array.from({ length: 16 }, () => callOf('Count', [], 'int'));
    await host.add('sync', state, items);
    for (const { invocationId } of items)
      expect((await host.recorded(invocationId)).result).toEqual({
        kind: 'inline',
        value: { type: 'int', value: 1 },
      });
  });

  test('a call beyond its time is stopped, and the next one of the version works', async () => {
    const spin = await host.publish('spin');
    const late = await host.call(spin, callOf('Spin', [], 'void', { timeoutMs: 50 }));
    expect(late.outcome).toBe('timeout');
    expect(late.timings.runUs).toBeGreaterThanOrEqual(50_000);
    const next = await host.call(spin, callOf('Work', [{ type: 'uint', value: 10 }], 'uint'));
    expect(next.outcome).toBe('succeeded');
  });

  test('hostile calls disturb none of the good ones beside them', async () => {
    const hello = await host.publish('hello');
    const spin = await host.publish('spin');
    const good = Array.from({ length: 40 }, (_, index) =>
      callOf('Hello', [{ type: 'string', value: `n${index}` }], 'string'),
    );
    const bad = Array.from({ length: 4 }, () => callOf('Spin', [], 'void', { timeoutMs: 30 }));
    await Promise.all([
      ...bad.map((item) => host.add('sync', spin, [item])),
      ...good.map((item) => host.add('sync', hello, [item])),
    ]);
    for (const [index, { invocationId }] of good.entries())
      expect((await host.recorded(invocationId)).result).toEqual({
        kind: 'inline',
        value: { type: 'string', value: `Hello, n${index}!` },
      });
    for (const { invocationId } of bad) expect((await host.recorded(invocationId)).outcome).toBe('timeout');
  });

  test('a version that fails at initialisation gives its outcome to every call', async () => {
    const broken = await host.publish('init-abort');
    for (let call = 0; call < 2; call += 1) {
      const record = await host.call(broken, callOf('Ping', [], 'int'));
      expect(record).toMatchObject({ outcome: 'aborted', timings: { runUs: 0 } });
      expect(record.detail?.message).toMatch(/^Initialisation: /);
    }
  });

  test('an input that its version has no room for is refused by name', async () => {
    const echo = await host.publish('echo', {
      version: 2,
      memory: { heapBytes: 65_536, stackBytes: 65_536, inputBytes: 8_192, outputBytes: 8_192 },
    });
    const bytes = Buffer.alloc(20_000);
    const { sha256, lengthBytes } = await host.blobs.put('acme', bytes);
    const record = await host.call(
      echo,
      callOf('EchoBytes', [], 'bytes', { input: { kind: 'blob', of: 'bytes', sha256, lengthBytes } }),
    );
    expect(record).toMatchObject({
      outcome: 'protocol',
      detail: { message: expect.stringContaining('The call does not fit the input buffer') },
    });
  });

  test('an artifact whose bytes are not what the job names is never parsed', async () => {
    const hello = await host.publish('hello', { version: 7, artifactSha256: 'f'.repeat(64) });
    const record = await host.call(hello, callOf('Hello', [{ type: 'string', value: 'x' }], 'string'));
    expect(record).toMatchObject({
      outcome: 'host-fault',
      detail: { message: expect.stringContaining('MAYFLY_ERR_BLOB_MISSING') },
    });
  });

  test('what a guest prints and logs is the tail of its record', async () => {
    const output = await host.publish('output');
    const printed = await host.call(output, callOf('Print', [{ type: 'string', value: 'grüße ☃\n' }], 'int'));
    expect(printed.logTail).toBe('grüße ☃\n');
    const args = [
      { type: 'int', value: 1 },
      { type: 'string', value: 'an error' },
    ] as const;
    const logged = await host.call(output, callOf('Log', args, 'int'));
    expect(logged.logTail).toMatch(/^\[error\] .*an error/);
    const flood = await host.call(output, callOf('PrintFlood', [{ type: 'uint', value: 100 }], 'int'));
    expect(flood.logTail.length).toBeGreaterThan(0);
    expect(Buffer.byteLength(flood.logTail)).toBeLessThanOrEqual(LIMITS.logTailBytes);
  });
});
