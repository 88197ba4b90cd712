import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, root, startMayfly } from '../helpers/mayfly.js';

const execute = promisify(execFile);

/** The way of a tenant: upload, look, invoke each way, read the record. */
describe.skipIf(!kvmWorks)('the API, as a tenant uses it (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  beforeAll(async () => {
    mayfly = await startMayfly();
    for (const guest of ['hello', 'echo', 'qr', 'thumbnail', 'spin']) {
      expect((await mayfly.upload(guest)).status, guest).toBe(201);
    }
  });
  afterAll(() => mayfly?.stop());

  it('answers the same upload again with the version that exists', async () => {
    const again = await mayfly.upload('hello');
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ version: 1 });
  });

  it('lists, shows and deletes functions', async () => {
    expect((await mayfly.upload('hello', { name: 'short-lived' })).status).toBe(201);
    expect(JSON.stringify(await (await mayfly.request('/v1/functions')).json())).toContain('short-lived');
    expect(await (await mayfly.request('/v1/functions/short-lived')).json()).toMatchObject({
      name: 'short-lived',
    });
    expect((await mayfly.request('/v1/functions/short-lived', { method: 'DELETE' })).status).toBe(204);
    expect((await mayfly.request('/v1/functions/short-lived')).status).toBe(404);
    expect((await mayfly.invoke({ function: 'short-lived', args: ['x'] })).status).toBe(404);
  });

  it('takes typed and plain arguments and answers the envelope', async () => {
    const typed = await mayfly.invoke({
      function: 'echo',
      version: 1,
      entrypoint: 'Add',
      args: [
        { type: 'int', value: 1 },
        { type: 'int', value: 2 },
      ],
      returns: 'int',
      timeoutMs: 1000,
    });
    expect(typed.status).toBe(200);
    const body = (await typed.json()) as Record<string, unknown>;
    expect(body).toMatchObject({ result: { type: 'int', value: 3 }, function: 'echo', version: 1 });
    expect(Object.keys(body['timings'] as object).sort()).toEqual(
      ['acquireUs', 'queueUs', 'restoreUs', 'resultUs', 'runUs', 'totalUs'].sort(),
    );
    const plain = await mayfly.invoke({ function: 'echo', entrypoint: 'Add', args: [20, 22] });
    expect(await plain.json()).toMatchObject({ result: { type: 'int', value: 42 } });
  });

  it.each([
    ['long', '-9223372036854775808', '-9223372036854775808'],
    ['ulong', '18446744073709551615', '18446744073709551615'],
    ['long', 7, 7],
    ['double', 'NaN', 'NaN'],
    ['double', '-Infinity', '-Infinity'],
    ['float', 0.5, 0.5],
    ['bool', true, true],
    ['string', 'naïve ☃ 𝄞', 'naïve ☃ 𝄞'],
    ['bytes', 'AAEC/w==', 'AAEC/w=='],
  ] as const)('carries %s %s there and back', async (type, value, expected) => {
    const entrypoint = {
      long: 'EchoLong',
      ulong: 'EchoULong',
      double: 'EchoDouble',
      float: 'EchoFloat',
      bool: 'EchoBool',
      string: 'EchoString',
      bytes: 'EchoBytes',
    }[type];
    const answer = await mayfly.invoke({
      function: 'echo',
      entrypoint,
      args: [{ type, value }],
      returns: type,
    });
    expect(await answer.json()).toMatchObject({ result: { type, value: expected } });
  });

  it('takes a raw body and answers a raw body, with headers that a browser cannot be fooled by', async () => {
    const answer = await mayfly.request('/invoke/hello', {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'raw',
    });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('Hello, raw!');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('content-security-policy')).toContain('sandbox');
    expect(answer.headers.get('invocation-id')).toMatch(/^inv_/);
    expect(answer.headers.get('function-version')).toBe('1');
    expect(answer.headers.get('server-timing')).toContain('run;dur=');
  });

  it('echoes a body of megabytes, by reference through the blob store', async () => {
    const manifest = {
      runtime: 'guest-abi',
      entrypoints: { EchoBytes: { params: ['bytes'], returns: 'bytes' } },
      default: 'EchoBytes',
      memory: { inputBytes: 4 << 20, outputBytes: 4 << 20, heapBytes: 16 << 20 },
    };
    expect((await mayfly.upload('echo', { name: 'echo-large', manifest })).status).toBe(201);
    const body = Buffer.alloc(2 << 20, 0xa5);
    body.writeUInt32LE(0xdeadbeef, 1 << 20);
    const answer = await mayfly.request('/invoke/echo-large', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body,
    });
    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
  });

  it('answers asynchronously: 202, a record, and the same result', async () => {
    const accepted = await mayfly.request('/invoke/hello', {
      method: 'POST',
      headers: { prefer: 'respond-async', 'content-type': 'text/plain' },
      body: 'later',
    });
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get('preference-applied')).toBe('respond-async');
    const location = accepted.headers.get('location') ?? '';
    expect(location).toMatch(/^\/v1\/invocations\/inv_/);
    await expect
      .poll(async () => ((await (await mayfly.request(location)).json()) as { state?: string }).state, {
        timeout: 10_000,
      })
      .toBe('succeeded');
    const result = await mayfly.request(`${location}/result`);
    expect(result.status).toBe(200);
    expect(await result.text()).toBe('Hello, later!');
  });

  it('answers 504 once the guest has stopped, and the next call runs', async () => {
    const started = Date.now();
    const answer = await mayfly.invoke({
      function: 'spin',
      entrypoint: 'Spin',
      args: [],
      returns: 'void',
      timeoutMs: 100,
    });
    expect(answer.status).toBe(504);
    expect(Date.now() - started).toBeGreaterThanOrEqual(100);
    expect(await answer.json()).toMatchObject({ code: 'timeout', origin: 'guest' });
    expect((await mayfly.invoke({ function: 'hello', args: ['again'] })).status).toBe(200);
  });

  it.each(['https://example.org/', 'Grüße ☃ 123', 'x'.repeat(300)])(
    'makes a QR code that a decoder reads: %s',
    async (text) => {
      const answer = await mayfly.request('/invoke/qr', {
        method: 'POST',
        headers: { 'content-type': 'text/plain; charset=utf-8' },
        body: text,
      });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toMatch(/^image\/svg\+xml/);
      const folder = await mkdtemp(path.join(tmpdir(), 'mf-qr-'));
      try {
        await writeFile(path.join(folder, 'qr.svg'), await answer.text());
        await execute('rsvg-convert', [
          '-w',
          '800',
          '-b',
          'white',
          '-o',
          path.join(folder, 'qr.png'),
          path.join(folder, 'qr.svg'),
        ]);
        const { stdout } = await execute('zbarimg', [
          '--quiet',
          '--raw',
          '-Sbinary',
          path.join(folder, 'qr.png'),
        ]);
        expect(stdout.replace(/\n$/, '')).toBe(text);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );

  it.each([
    ['no key', '/v1/functions', { headers: { authorization: '' } }, 401, 'unauthorized'],
    [
      'a wrong key',
      '/v1/functions',
      { headers: { authorization: 'Bearer wrong-wrong-wrong' } },
      401,
      'unauthorized',
    ],
    ['an unknown route', '/v1/nothing', {}, 404, 'not-found'],
    ['an unknown function', '/invoke/none', { method: 'POST', body: 'x' }, 404, 'not-found'],
    ['an unknown invocation', '/v1/invocations/inv_00000000000000000000000000000000', {}, 404, 'not-found'],
    [
      'a body that is no JSON',
      '/invoke',
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' },
      400,
      'invalid-request',
    ],
    [
      'no function',
      '/invoke',
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' },
      400,
      'invalid-request',
    ],
    [
      'an upload that is no ELF',
      '/v1/functions/bad/versions',
      { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: 'not an ELF' },
      422,
      'invalid-elf',
    ],
  ] as const)('answers %s with a problem', async (_name, target, init, status, code) => {
    const answer = await mayfly.request(target, init as RequestInit);
    const text = await answer.text();
    expect(answer.status, text).toBe(status);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(JSON.parse(text)).toMatchObject({ code, status });
  });

  it('publishes its contract as OpenAPI 3.1 and its limits', async () => {
    const contract = (await (await fetch(`${mayfly.url}/openapi.json`)).json()) as {
      openapi: string;
      paths: object;
    };
    expect(contract.openapi).toMatch(/^3\.1/);
    expect(Object.keys(contract.paths)).toEqual(expect.arrayContaining(['/invoke', '/v1/functions']));
    expect((await mayfly.request('/v1/limits')).status).toBe(200);
    expect((await fetch(`${mayfly.url}/livez`)).status).toBe(200);
  });

  it('keeps the samples and their manifests in step', async () => {
    for (const sample of ['hello', 'echo', 'qr', 'thumbnail']) {
      const source = await readFile(path.join(root, `guests/samples/${sample}/manifest.json`), 'utf8');
      expect(await readFile(path.join(root, `guests/build/${sample}.json`), 'utf8')).toBe(source);
    }
  });
});
