import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { channels } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { tinyElf } from './support/elf.js';
import { ECHO_MANIFEST, startGateway, TENANT_KEY, type TestGateway } from './support/test-gateway.js';

let redis: RedisServer;
let gateway: TestGateway;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
beforeEach(async () => {
  const client = new Redis({ path: redis.socketPath });
  await client.flushall();
  client.disconnect();
  gateway = await startGateway({ redis });
});

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
const digestOf = (bytes: Uint8Array) => `sha-256=:${sha256(bytes).toString('base64')}:`;

async function storedFiles(): Promise<string[]> {
  const found = await readdir(join(gateway.dataDir, 'blobs'), { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  return found.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

interface Part {
  readonly name: string;
  readonly filename?: string;
  readonly type?: string;
  readonly content: string | Buffer;
}

function multipart(parts: readonly Part[], boundary = 'b0undary'): Buffer {
  const chunks = parts.flatMap(({ name, filename, type, content }) => [
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n`,
    type === undefined ? '\r\n' : `Content-Type: ${type}\r\n\r\n`,
    content,
    '\r\n',
  ]);
  return Buffer.concat([...chunks, `--${boundary}--\r\n`].map((chunk) => Buffer.from(chunk)));
}

const post = (body: Uint8Array | string, headers: Record<string, string> = {}, name = 'fn') =>
  gateway.fetch(`/v1/functions/${name}/versions`, {
    method: 'POST',
    body: typeof body === 'string' ? body : new Uint8Array(body),
    headers: { 'content-type': 'multipart/form-data; boundary=b0undary', ...headers },
  });
const BINARY: Part = { name: 'binary', filename: 'guest.elf', content: tinyElf() };
const OCTETS = { 'content-type': 'application/octet-stream' };

describe('POST /v1/functions/{name}/versions', () => {
  it('makes the function and its first version of a multipart upload', async () => {
    const response = await gateway.upload('hello', ECHO_MANIFEST);
    expect(response.status).toBe(201);
    expect(response.headers.get('location')).toBe('/v1/functions/hello/versions/1');
    expect(await response.json()).toEqual({
      function: 'hello',
      version: 1,
      sha256: sha256(tinyElf()).toString('hex'),
      sizeBytes: 256,
      manifest: {
        runtime: 'guest-abi',
        entrypoints: ECHO_MANIFEST.entrypoints,
        default: 'echo-bytes',
        memory: { heapBytes: 2 ** 20, stackBytes: 2 ** 16, inputBytes: 2 ** 20, outputBytes: 2 ** 20 },
        timeoutMs: 5000,
      },
      createdAtMs: expect.any(Number),
    });
  });

  it('takes the binary alone as a raw body', async () => {
    const response = await post(tinyElf(), { ...OCTETS, 'content-digest': digestOf(tinyElf()) });
    expect(response.status).toBe(201);
    expect((await response.json()).manifest).toMatchObject({ runtime: 'guest-abi', entrypoints: {} });
  });

  it('takes more than a megabyte, either way', async () => {
    const elf = tinyElf(3 * 1024 * 1024, 7);
    expect((await gateway.upload('big', ECHO_MANIFEST, elf)).status).toBe(201);
    const raw = await post(elf, OCTETS, 'big-raw');
    expect([raw.status, (await raw.json()).sha256]).toEqual([201, sha256(elf).toString('hex')]);
  });

  it('answers 200 with the version that is the same, and a new number for another manifest', async () => {
    const first = await (await gateway.upload('hello', ECHO_MANIFEST)).json();
    const again = await gateway.upload('hello', ECHO_MANIFEST);
    expect([again.status, await again.json()]).toEqual([200, first]);
    const reordered = Object.fromEntries(Object.entries(ECHO_MANIFEST).reverse());
    expect((await gateway.upload('hello', reordered)).status).toBe(200);
    const other = await gateway.upload('hello', { ...ECHO_MANIFEST, timeoutMs: 9 });
    expect([other.status, (await other.json()).version]).toEqual([201, 2]);
  });

  it('gives each of many uploads at once a number of its own', async () => {
    const uploads = [1, 2, 3, 4].map((timeoutMs) => gateway.upload('race', { timeoutMs }));
    const versions = await Promise.all(uploads.map(async (upload) => (await (await upload).json()).version));
    expect(versions.sort()).toEqual([1, 2, 3, 4]);
  });

  it('takes the parts in any order, and the manifest as field, file or JSON part', async () => {
    const content = JSON.stringify({ timeoutMs: 4321 });
    for (const manifest of [
      { name: 'manifest', content },
      { name: 'manifest', filename: 'manifest.json', content },
      { name: 'manifest', type: 'application/json', content },
      { name: 'manifest', filename: 'm.json', type: 'application/json', content },
    ])
      for (const parts of [
        [BINARY, manifest],
        [manifest, BINARY],
      ]) {
        const response = await post(multipart(parts));
        expect((await response.json()).manifest.timeoutMs).toBe(4321);
      }
  });

  it('announces a new version to the workers, and only a new one', async () => {
    const subscriber = new Redis({ path: redis.socketPath });
    onTestFinished(() => subscriber.disconnect());
    const heard: string[] = [];
    subscriber.on('message', (_channel, message) => heard.push(message));
    await subscriber.subscribe(channels.versions);
    await gateway.upload('hello', ECHO_MANIFEST);
    await gateway.upload('hello', ECHO_MANIFEST);
    await gateway.upload('hello', { ...ECHO_MANIFEST, timeoutMs: 9 });
    await expect.poll(() => heard.length).toBe(2);
    expect(JSON.parse(heard[0] ?? '')).toEqual({
      tenant: 'default',
      name: 'hello',
      version: 1,
      artifactSha256: sha256(tinyElf()).toString('hex'),
      artifactBytes: 256,
      memory: { heapBytes: 2 ** 20, stackBytes: 2 ** 16, inputBytes: 2 ** 20, outputBytes: 2 ** 20 },
    });
  });

  it('takes a Content-Digest of the whole content or of the binary', async () => {
    const body = multipart([BINARY]);
    expect((await post(body, { 'content-digest': digestOf(body) })).status).toBe(201);
    expect((await post(body, { 'content-digest': digestOf(tinyElf()) })).status).toBe(200);
    expect((await post(body, { 'content-digest': `sha-512=:AAAA:, ${digestOf(body)}` })).status).toBe(200);
  });

  it.each([
    [
      'a Content-Digest of something else',
      multipart([BINARY]),
      { 'content-digest': digestOf(Buffer.from('x')) },
      400,
      'digest-mismatch',
    ],
    [
      'a wrong Content-Digest of a raw body',
      tinyElf(),
      { ...OCTETS, 'content-digest': digestOf(Buffer.from('x')) },
      400,
      'digest-mismatch',
    ],
    [
      'a Content-Digest that is none',
      multipart([BINARY]),
      { 'content-digest': 'sha-256=abc' },
      400,
      'invalid-request',
    ],
    [
      'a Content-Digest of the wrong length',
      multipart([BINARY]),
      { 'content-digest': 'sha-256=:AAAA:' },
      400,
      'invalid-request',
    ],
    ['no parts', multipart([]), {}, 400, 'invalid-request'],
    ['an empty body', Buffer.alloc(0), {}, 400, 'invalid-request'],
    ['no binary', multipart([{ name: 'manifest', content: '{}' }]), {}, 400, 'invalid-request'],
    ['two binaries', multipart([BINARY, BINARY]), {}, 400, 'invalid-request'],
    [
      'two manifests',
      multipart([BINARY, { name: 'manifest', content: '{}' }, { name: 'manifest', content: '{}' }]),
      {},
      400,
      'invalid-request',
    ],
    [
      'a part of another name',
      multipart([BINARY, { name: 'extra', content: 'x' }]),
      {},
      400,
      'invalid-request',
    ],
    [
      'a part named like a property',
      multipart([{ name: '__proto__', content: 'x' }, BINARY]),
      {},
      400,
      'invalid-request',
    ],
    [
      'a binary that is a field',
      multipart([{ name: 'binary', content: 'text' }]),
      {},
      400,
      'invalid-request',
    ],
    ['a boundary that does not occur', multipart([BINARY], 'other'), {}, 400, 'invalid-request'],
    ['no boundary', multipart([BINARY]), { 'content-type': 'multipart/form-data' }, 400, 'invalid-request'],
    ['a body that ends inside the binary', multipart([BINARY]).subarray(0, 200), {}, 400, 'invalid-request'],
    ['a body that ends inside a header', multipart([BINARY]).subarray(0, 40), {}, 400, 'invalid-request'],
    ['no bytes at all, raw', Buffer.alloc(0), OCTETS, 422, 'invalid-elf'],
    ['text instead of a binary', Buffer.from('#!/bin/sh\n'), OCTETS, 422, 'invalid-elf'],
    ['an ELF for another machine', Buffer.from(tinyElf()).fill(40, 18, 19), OCTETS, 422, 'invalid-elf'],
    ['a truncated ELF', tinyElf().subarray(0, 100), OCTETS, 422, 'invalid-elf'],
    ['a wrong binary in a part', multipart([{ ...BINARY, content: 'MZ' }]), {}, 422, 'invalid-elf'],
    ['JSON', '{}', { 'content-type': 'application/json' }, 415, 'unsupported-media-type'],
    ['text', 'x', { 'content-type': 'text/plain' }, 415, 'unsupported-media-type'],
    [
      'a manifest that is no JSON',
      multipart([BINARY, { name: 'manifest', content: '{' }]),
      {},
      400,
      'invalid-request',
    ],
    [
      'a JSON part that is no JSON',
      multipart([{ name: 'manifest', type: 'application/json', content: '{' }, BINARY]),
      {},
      400,
      'invalid-request',
    ],
    [
      'a manifest beyond its limit',
      multipart([BINARY, { name: 'manifest', content: ' '.repeat(65_537) }]),
      {},
      413,
      'too-large',
    ],
    [
      'a manifest file beyond its limit',
      multipart([BINARY, { name: 'manifest', filename: 'm', content: ' '.repeat(65_537) }]),
      {},
      413,
      'too-large',
    ],
  ] as const)('refuses %s and keeps nothing of it', async (_name, body, headers, status, code) => {
    const response = await post(body, headers as Record<string, string>);
    const problem = await response.json();
    expect({ status: response.status, code: problem.code }, JSON.stringify(problem)).toEqual({
      status,
      code,
    });
    await expect.poll(storedFiles).toEqual([]);
    expect((await gateway.fetch('/v1/functions/fn')).status).toBe(404);
  });

  it.each([
    ['no object', [], '/manifest'],
    ['an unknown field', { runtimes: 1 }, '/manifest'],
    ['another runtime', { runtime: 'node' }, '/manifest/runtime'],
    [
      'an unknown parameter type',
      { entrypoints: { A: { params: ['i32'], returns: 'int' } } },
      '/manifest/entrypoints/A/params/0',
    ],
    [
      'void as parameter',
      { entrypoints: { A: { params: ['void'], returns: 'int' } } },
      '/manifest/entrypoints/A/params/0',
    ],
    [
      '12 parameters',
      { entrypoints: { A: { params: new Array(12).fill('int'), returns: 'int' } } },
      '/manifest/entrypoints/A/params',
    ],
    ['no return type', { entrypoints: { A: { params: [] } } }, '/manifest/entrypoints/A'],
    [
      'a space in a name',
      { entrypoints: { 'A B': { params: [], returns: 'int' } } },
      '/manifest/entrypoints',
    ],
    [
      'a name that is too long',
      { entrypoints: { [`A${'b'.repeat(128)}`]: { params: [], returns: 'int' } } },
      '/manifest/entrypoints',
    ],
    [
      '257 entrypoints',
      {
        entrypoints: Object.fromEntries(
          Array.from({ length: 257 }, (_, n) => [`E${n}`, { params: [], returns: 'int' }]),
        ),
      },
      '/manifest/entrypoints',
    ],
    ['a default that is not listed', { entrypoints: {}, default: 'A' }, '/manifest/default'],
    ['a default named like a property', { entrypoints: {}, default: 'constructor' }, '/manifest/default'],
    ['a heap beyond the limit', { memory: { heapBytes: 2 ** 30 } }, '/manifest/memory/heapBytes'],
    ['a negative stack', { memory: { stackBytes: -1 } }, '/manifest/memory/stackBytes'],
    ['half a byte', { memory: { inputBytes: 9000.5 } }, '/manifest/memory/inputBytes'],
    ['an input buffer below the minimum', { memory: { inputBytes: 4096 } }, '/manifest/memory/inputBytes'],
    ['a timeout beyond the limit', { timeoutMs: 30_001 }, '/manifest/timeoutMs'],
    ['a timeout as text', { timeoutMs: '5' }, '/manifest/timeoutMs'],
    [
      'a media type that is not on the list',
      { entrypoints: { A: { params: [], returns: 'string', contentType: 'text/javascript' } } },
      '/manifest/entrypoints/A/contentType',
    ],
    [
      'a media type for a number',
      { entrypoints: { A: { params: [], returns: 'int', contentType: 'text/plain' } } },
      '/manifest/entrypoints/A/contentType',
    ],
  ])('refuses a manifest with %s, and points at it', async (_name, manifest, pointer) => {
    const response = await gateway.upload('fn', manifest);
    const { code, errors } = await response.json();
    expect({ status: response.status, code, pointer: errors?.[0]?.pointer }, JSON.stringify(errors)).toEqual({
      status: 400,
      code: 'invalid-request',
      pointer,
    });
    expect(await storedFiles()).toEqual([]);
  });

  it('refuses __proto__ as a name', async () => {
    const content = '{"entrypoints":{"__proto__":{"params":[],"returns":"int"}}}';
    const response = await post(multipart([BINARY, { name: 'manifest', content }]));
    expect([response.status, (await response.json()).code]).toEqual([400, 'invalid-request']);
  });

  it('refuses an artifact over the limit, however it says so, and stays usable', async () => {
    const zeros = Buffer.alloc(64 * 1024 * 1024 + 1);
    const announced = await post(zeros, OCTETS);
    const part = await post(multipart([{ ...BINARY, content: zeros }]));
    const chunked = await gateway.fetch('/v1/functions/fn/versions', {
      method: 'POST',
      body: new Blob([zeros]).stream(),
      duplex: 'half',
      headers: OCTETS,
    } as RequestInit);
    for (const response of [announced, part, chunked]) {
      expect(response.status).toBe(413);
      expect((await response.json()).limit).toEqual({ name: 'artifactBytes', value: 64 * 1024 * 1024 });
    }
    expect(await storedFiles()).toEqual([]);
    expect((await gateway.upload('fn')).status).toBe(201);
  });

  it('keeps nothing of an upload whose sender goes away', async () => {
    for (const type of ['application/octet-stream', 'multipart/form-data; boundary=b0undary']) {
      const socket = createConnection(Number(new URL(gateway.url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `POST /v1/functions/fn/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TENANT_KEY}\r\n` +
          `Content-Type: ${type}\r\nContent-Length: 1000000\r\n\r\n`,
      );
      socket.write(multipart([{ ...BINARY, content: Buffer.alloc(100_000) }]).subarray(0, 100_000));
      await expect.poll(async () => (await storedFiles()).length).toBe(1);
      socket.destroy();
      await expect.poll(storedFiles).toEqual([]);
    }
    expect((await gateway.upload('fn')).status).toBe(201);
  });

  it.each([
    '..',
    '%2e%2e',
    '..%2f..%2fetc',
    'a%2fb',
    'a:b',
    'a@1',
    'a.b',
    '-a',
    '_a',
    'a%00',
    'a%20b',
    '%ff',
    'ü',
    'f'.repeat(65),
  ])('refuses the function name %s', async (name) => {
    const response = await post(multipart([BINARY]), {}, name);
    expect([400, 404]).toContain(response.status);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await storedFiles()).toEqual([]);
    for (const method of ['GET', 'DELETE']) {
      const other = await gateway.fetch(`/v1/functions/${name}`, { method });
      expect([200, 400, 404]).toContain(other.status);
      if (other.status === 200) expect(await other.json()).toEqual({ items: [] });
    }
  });

  it('keeps a payload that is also a refused artifact', async () => {
    const { sha256: key } = await gateway.blobs.put('default', Buffer.from('payload'));
    expect((await post(Buffer.from('payload'), OCTETS)).status).toBe(422);
    expect(await gateway.blobs.has('default', key)).toBe(true);
  });
});

describe('functions and versions', () => {
  it('lists by name, a page at a time', async () => {
    for (const name of ['delta', 'alpha', 'charlie', 'bravo']) await gateway.upload(name);
    const names: string[] = [];
    let path = '/v1/functions?limit=3';
    for (let pages = 1; ; pages += 1) {
      const response = await gateway.fetch(path);
      const { items, nextCursor } = await response.json();
      names.push(...items.map((item: { name: string }) => item.name));
      if (nextCursor === undefined) {
        expect(pages).toBe(2);
        break;
      }
      expect(response.headers.get('link')).toContain('rel="next"');
      path = `/v1/functions?limit=3&cursor=${nextCursor}`;
    }
    expect(names).toEqual(['alpha', 'bravo', 'charlie', 'delta']);
  });

  it.each([
    'limit=0',
    'limit=201',
    'limit=x',
    'limit=-1',
    'cursor=%2e%2e',
    'cursor=Li4',
    'what=1',
    'limit=1&limit=2',
  ])('refuses the page %s', async (query) => {
    expect((await gateway.fetch(`/v1/functions?${query}`)).status).toBe(400);
  });

  it('shows a function, its versions and each of them', async () => {
    await gateway.upload('fn', { timeoutMs: 1 });
    await gateway.upload('fn', { timeoutMs: 2 });
    expect(await (await gateway.fetch('/v1/functions/fn')).json()).toMatchObject({
      name: 'fn',
      latestVersion: 2,
      versions: [1, 2],
    });
    const { items } = await (await gateway.fetch('/v1/functions/fn/versions')).json();
    expect(items.map((item: { version: number }) => item.version)).toEqual([2, 1]);
    const one = await (await gateway.fetch('/v1/functions/fn/versions/1')).json();
    expect(one).toMatchObject({ function: 'fn', version: 1, manifest: { timeoutMs: 1 } });
  });

  it('deletes a version, then the function with the last one, and never gives a number twice', async () => {
    for (const timeoutMs of [1, 2]) await gateway.upload('fn', { timeoutMs });
    const remove = async (path: string) => (await gateway.fetch(path, { method: 'DELETE' })).status;
    expect(await remove('/v1/functions/fn/versions/1')).toBe(204);
    expect(await remove('/v1/functions/fn/versions/1')).toBe(404);
    expect(await remove('/v1/functions/fn/versions/2')).toBe(204);
    expect((await gateway.fetch('/v1/functions/fn')).status).toBe(404);
    expect(await (await gateway.fetch('/v1/functions')).json()).toEqual({ items: [] });
    const again = await gateway.upload('fn', { timeoutMs: 1 });
    expect([again.status, (await again.json()).version]).toEqual([201, 3]);
    expect(await remove('/v1/functions/fn')).toBe(204);
    expect(await remove('/v1/functions/fn')).toBe(404);
  });

  it.each(['0', '-1', '01', '1.0', 'x', '1e3', '9'.repeat(16)])('refuses the version %s', async (version) => {
    for (const method of ['GET', 'DELETE'])
      expect((await gateway.fetch(`/v1/functions/fn/versions/${version}`, { method })).status).toBe(400);
  });

  it('knows no version that never was', async () => {
    await gateway.upload('fn');
    for (const path of ['nope', 'nope/versions', 'nope/versions/1', 'fn/versions/2'])
      expect((await gateway.fetch(`/v1/functions/${path}`)).status).toBe(404);
  });
});
