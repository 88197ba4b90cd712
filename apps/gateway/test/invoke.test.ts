import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { echo, ScriptedWorker } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

let redis: RedisServer;
let worker: ScriptedWorker;

beforeAll(async () => {
  redis = await startRedis();
  worker = await new ScriptedWorker(echo, { redisPath: redis.socketPath }).ready();
});
afterAll(async () => {
  await worker.close();
  await redis.stop();
});

async function gatewayWithEcho(): Promise<TestGateway> {
  worker.script = echo;
  const gateway = await startGateway({ redis });
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  expect((await gateway.upload('bare')).ok).toBe(true);
  return gateway;
}

describe('POST /invoke', () => {
  it('answers with the typed result, and says which version ran and how long it took', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({ function: 'echo', entrypoint: 'echo-int', args: [3] });
    expect(response.status).toBe(200);
    const body = await response.json();
    expect(body).toEqual({
      result: { type: 'int', value: 3 },
      invocationId: expect.stringMatching(/^inv_[0-9a-f]{32}$/),
      function: 'echo',
      version: 1,
      timings: { queueUs: 700, acquireUs: 20, restoreUs: 30, runUs: 40, resultUs: 10, totalUs: 800 },
      usage: { cpuUs: 3, exits: 1, hostCalls: 0, dirtyPages: 16, source: 'warm' },
    });
    expect(response.headers.get('invocation-id')).toBe(body.invocationId);
    expect(response.headers.get('function-version')).toBe('1');
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('server-timing')).toContain('run;dur=0.04');
    expect(response.headers.get('invocation-usage')).toBe(
      'cpu-us=3, exits=1, host-calls=0, dirty-pages=16, source=warm',
    );
  });

  it('hands the worker all it needs to know, and no secret', async () => {
    const gateway = await gatewayWithEcho();
    worker.jobs.length = 0;
    await gateway.invoke({
      function: 'echo',
      version: 1,
      entrypoint: 'Add',
      args: [1, { type: 'int', value: 2 }],
      timeoutMs: 1234,
    });
    const [job] = worker.jobs;
    expect(job).toEqual({
      v: 1,
      function: {
        tenant: 'default',
        name: 'echo',
        version: 1,
        artifactSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        artifactBytes: 256,
        memory: { heapBytes: 2 ** 20, stackBytes: 2 ** 16, inputBytes: 2 ** 20, outputBytes: 2 ** 20 },
      },
      items: [
        {
          invocationId: expect.stringMatching(/^inv_/),
          entrypoint: 'Add',
          input: {
            kind: 'args',
            args: [
              { type: 'int', value: 1 },
              { type: 'int', value: 2 },
            ],
          },
          returns: 'int',
          timeoutMs: 1234,
          acceptedAtMs: expect.any(Number),
          expiresAtMs: expect.any(Number),
          replyToken: expect.stringMatching(/^[0-9a-f]{32}$/),
        },
      ],
      reply: { gatewayId: gateway.services.config.gatewayId, socketPath: gateway.socketPath },
    });
    expect(JSON.stringify(job)).not.toContain(gateway.services.config.tenantKey);
  });

  it.each([
    ['int', -(2 ** 31)],
    ['uint', 2 ** 32 - 1],
    ['long', '-9223372036854775808'],
    ['long', 9007199254740991],
    ['ulong', '18446744073709551615'],
    ['float', 0.5],
    ['float', 'NaN'],
    ['double', 'Infinity'],
    ['double', '-Infinity'],
    ['double', 1e308],
    ['bool', false],
    ['string', 'héllo 𝄞'],
    ['string', ''],
    ['bytes', 'AAECAw=='],
    ['bytes', ''],
  ])('carries %s %j there and back, plain and typed', async (type, value) => {
    const gateway = await gatewayWithEcho();
    const call = { function: 'echo', entrypoint: `echo-${type}` };
    for (const args of [[value], [{ type, value }]]) {
      const response = await gateway.invoke({ ...call, args });
      expect((await response.json()).result).toEqual({ type, value });
    }
    const bare = await gateway.invoke({
      function: 'bare',
      entrypoint: 'X',
      args: [{ type, value }],
      returns: type,
    });
    expect((await bare.json()).result).toEqual({ type, value });
  });

  it('answers void with no value', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({ function: 'echo', entrypoint: 'Nothing' });
    expect((await response.json()).result).toEqual({ type: 'void' });
  });

  it('takes a large argument through the blob store', async () => {
    const gateway = await gatewayWithEcho();
    const value = 'x'.repeat(100_000);
    worker.script = async (item) => {
      if (item.input.kind !== 'blob') return { outcome: 'protocol', detail: { message: item.input.kind } };
      const bytes = await gateway.blobs.get('default', item.input.sha256, {
        limitBytes: item.input.lengthBytes,
      });
      const [argument] = JSON.parse(bytes.toString());
      return { result: { kind: 'inline', value: { type: 'int', value: argument.value.length } } };
    };
    const response = await gateway.invoke({
      function: 'bare',
      entrypoint: 'Length',
      args: [{ type: 'string', value }],
      returns: 'int',
    });
    expect((await response.json()).result.value).toBe(100_000);
  });

  it('takes a chunked body', async () => {
    const gateway = await gatewayWithEcho();
    const text = JSON.stringify({ function: 'echo', entrypoint: 'echo-int', args: [1] });
    const response = await fetch(`${gateway.url}/invoke`, {
      method: 'POST',
      body: new Blob([text]).stream(),
      duplex: 'half',
      headers: {
        authorization: `Bearer ${gateway.services.config.tenantKey}`,
        'content-type': 'application/json',
      },
    } as RequestInit);
    expect(response.status).toBe(200);
  });

  it('answers with a large result that came beside its record, and reads it again from the blob store', async () => {
    const gateway = await gatewayWithEcho();
    const result = Buffer.alloc(6 * 1024 * 1024, 'mayfly ');
    const { sha256 } = await gateway.blobs.put('default', result);
    worker.script = () => ({
      result: { kind: 'blob', type: 'bytes', sha256, lengthBytes: result.byteLength },
      body: result,
    });
    const response = await gateway.invoke({ function: 'bare', entrypoint: 'Big', returns: 'bytes' });
    const text = await response.text();
    expect(Buffer.from(JSON.parse(text).result.value, 'base64').equals(result)).toBe(true);
    const again = await gateway.fetch(`/v1/invocations/${response.headers.get('invocation-id')}/result`);
    expect((await again.text()) === text).toBe(true);
    await gateway.blobs.delete('default', sha256);
    const gone = await gateway.fetch(`/v1/invocations/${response.headers.get('invocation-id')}/result`);
    expect(gone.status).toBe(410);
    expect((await gone.json()).code).toBe('result-expired');
  });

  it.each([
    ['guest-error', 502, { message: 'no such name', guestCode: 3, guestCodeName: 'GuestError' }],
    ['aborted', 502, { message: 'abort: 42', guestCode: 42 }],
    ['exception', 502, { message: 'division', vector: '#DE', rip: '0x1234', address: '0x0' }],
    ['stack-overflow', 502, { message: 'guard page', address: '0x7000' }],
    ['access-violation', 502, { message: 'a wild write' }],
    ['protocol', 502, { message: 'unknown port 999' }],
    ['out-of-memory', 502, { message: 'heap exhausted' }],
    ['exit', 502, { message: 'exit 1' }],
    ['signal', 502, { message: 'SIGSEGV' }],
    ['host-budget', 502, { message: 'host calls' }],
    ['timeout', 504, { message: 'ran 5000 ms' }],
  ] as const)('answers %s with %i, its facts and the log tail', async (outcome, status, detail) => {
    const gateway = await gatewayWithEcho();
    worker.script = () => ({ outcome, detail, logTail: 'the last line' });
    const response = await gateway.invoke({ function: 'bare', entrypoint: 'X', returns: 'void' });
    expect(response.status).toBe(status);
    expect(response.headers.get('function-error')).toBe(outcome);
    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    const text = await response.text();
    const problem = JSON.parse(text);
    expect(problem).toMatchObject({
      ...detail,
      status,
      code: outcome,
      origin: 'guest',
      logTail: 'the last line',
    });
    expect(problem.instance).toBe(`/v1/invocations/${response.headers.get('invocation-id')}`);
    const again = await gateway.fetch(`${problem.instance}/result`);
    expect([again.status, await again.text()]).toEqual([status, text]);
    expect(again.headers.get('function-error')).toBe(outcome);
  });

  it('tells the caller nothing of a host fault but that it was one, and logs it', async () => {
    const gateway = await gatewayWithEcho();
    worker.script = () => ({ outcome: 'host-fault', detail: { message: 'secret of the host' } });
    const response = await gateway.invoke({ function: 'bare', entrypoint: 'X', returns: 'void' });
    expect(response.status).toBe(503);
    expect(response.headers.get('function-error')).toBeNull();
    expect(response.headers.get('retry-after')).toBe('1');
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: 'host-fault', origin: 'platform', retryable: true });
    expect(text).not.toContain('secret');
    expect(JSON.stringify(gateway.log)).toContain('secret of the host');
    const shown = await gateway.fetch(`/v1/invocations/${response.headers.get('invocation-id')}`);
    expect(await shown.text()).not.toContain('secret');
  });

  it.each([
    ['text that is no JSON', '{', 400, 'invalid-request', ''],
    ['no body', '', 400, 'invalid-request', ''],
    ['an array', [], 400, 'invalid-request', ''],
    ['null', null, 400, 'invalid-request', ''],
    ['a prototype', '{"function":"echo","__proto__":{}}', 400, 'invalid-request', ''],
    ['no function', {}, 400, 'invalid-request', '/function'],
    ['a function that is a number', { function: 3 }, 400, 'invalid-request', '/function'],
    ['a path for a function', { function: '../echo' }, 400, 'invalid-request', '/function'],
    ['a key separator in the name', { function: 'a:b' }, 400, 'invalid-request', '/function'],
    ['a name that is too long', { function: 'f'.repeat(65) }, 400, 'invalid-request', '/function'],
    ['an unknown field', { function: 'echo', arg: [] }, 400, 'invalid-request', '/arg'],
    ['a version of 0', { function: 'echo', version: 0 }, 400, 'invalid-request', '/version'],
    ['a version as text', { function: 'echo', version: '1' }, 400, 'invalid-request', '/version'],
    ['half a version', { function: 'echo', version: 1.5 }, 400, 'invalid-request', '/version'],
    ['an empty entrypoint', { function: 'echo', entrypoint: '' }, 400, 'invalid-request', '/entrypoint'],
    [
      'a space in an entrypoint',
      { function: 'echo', entrypoint: 'a b' },
      400,
      'invalid-request',
      '/entrypoint',
    ],
    ['args that are no array', { function: 'echo', args: {} }, 400, 'invalid-request', '/args'],
    ['12 arguments', { function: 'echo', args: new Array(12).fill(1) }, 400, 'invalid-request', '/args'],
    ['a null argument', { function: 'echo', args: [null] }, 400, 'invalid-request', '/args/0'],
    ['a nested argument', { function: 'echo', args: [[1]] }, 400, 'invalid-request', '/args/0'],
    [
      'an unknown type',
      { function: 'echo', args: [{ type: 'i32', value: 1 }] },
      400,
      'invalid-request',
      '/args/0/type',
    ],
    [
      'a type without value',
      { function: 'echo', args: [{ type: 'int' }] },
      400,
      'invalid-request',
      '/args/0/value',
    ],
    [
      'void as argument',
      { function: 'echo', args: [{ type: 'void', value: 0 }] },
      400,
      'invalid-request',
      '/args/0/type',
    ],
    ['an unknown return type', { function: 'echo', returns: 'i32' }, 400, 'invalid-request', '/returns'],
    ['a timeout of 0', { function: 'echo', timeoutMs: 0 }, 400, 'invalid-request', '/timeoutMs'],
    [
      'a timeout beyond the limit',
      { function: 'echo', timeoutMs: 30_001 },
      400,
      'invalid-request',
      '/timeoutMs',
    ],
    ['an unknown function', { function: 'nope' }, 404, 'not-found', undefined],
    ['an unknown version', { function: 'echo', version: 99 }, 404, 'not-found', undefined],
    [
      'a plain call of an entrypoint that is not in the manifest',
      { function: 'echo', entrypoint: 'Nope' },
      404,
      'not-found',
      undefined,
    ],
    [
      'an entrypoint named like a property',
      { function: 'echo', entrypoint: 'toString' },
      404,
      'not-found',
      undefined,
    ],
    [
      'too few arguments',
      { function: 'echo', entrypoint: 'Add', args: [1] },
      400,
      'invalid-request',
      '/args',
    ],
    [
      'too many arguments',
      { function: 'echo', entrypoint: 'Nothing', args: [1] },
      400,
      'invalid-request',
      '/args',
    ],
    [
      'a type that differs from the manifest',
      { function: 'echo', entrypoint: 'echo-int', args: [{ type: 'uint', value: 1 }] },
      400,
      'invalid-request',
      '/args/0/type',
    ],
    [
      'returns that differ from the manifest',
      { function: 'echo', entrypoint: 'echo-int', args: [1], returns: 'long' },
      400,
      'invalid-request',
      '/returns',
    ],
    [
      'an int out of range',
      { function: 'echo', entrypoint: 'echo-int', args: [2 ** 31] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'a fraction for an int',
      { function: 'echo', entrypoint: 'echo-int', args: [1.5] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'text for an int',
      { function: 'echo', entrypoint: 'echo-int', args: ['1'] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'a negative ulong',
      { function: 'echo', entrypoint: 'echo-ulong', args: ['-1'] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'a ulong of 65 bits',
      { function: 'echo', entrypoint: 'echo-ulong', args: ['18446744073709551616'] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'a long number that JSON cannot hold',
      '{"function":"echo","entrypoint":"echo-long","args":[9007199254740993]}',
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'an unknown word for a double',
      { function: 'echo', entrypoint: 'echo-double', args: ['inf'] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'a number for a bool',
      { function: 'echo', entrypoint: 'echo-bool', args: [1] },
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'half a surrogate pair',
      '{"function":"echo","entrypoint":"echo-string","args":["\\ud800"]}',
      400,
      'invalid-request',
      '/args/0',
    ],
    [
      'bytes that are no base64',
      { function: 'echo', entrypoint: 'echo-bytes', args: ['***'] },
      400,
      'invalid-request',
      '/args/0',
    ],
    ['no entrypoint without a default', { function: 'bare' }, 400, 'invalid-request', '/entrypoint'],
    [
      'no returns without a manifest',
      { function: 'bare', entrypoint: 'X' },
      400,
      'invalid-request',
      '/returns',
    ],
    [
      'plain arguments without a manifest',
      { function: 'bare', entrypoint: 'X', args: [1], returns: 'int' },
      400,
      'invalid-request',
      '/args/0',
    ],
  ] as const)('refuses %s before anything is queued', async (_name, body, status, code, pointer) => {
    const gateway = await gatewayWithEcho();
    worker.jobs.length = 0;
    const response = await gateway.invoke(body);
    const problem = await response.json();
    expect({ status: response.status, code: problem.code }, JSON.stringify(problem)).toEqual({
      status,
      code,
    });
    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    if (pointer !== undefined && pointer !== '') expect(problem.errors[0]?.pointer).toBe(pointer);
    expect(worker.jobs).toEqual([]);
  });

  it('names every argument that does not fit', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({ function: 'echo', entrypoint: 'Add', args: ['a', true] });
    const { errors } = await response.json();
    expect(errors.map((error: { pointer: string }) => error.pointer)).toEqual(['/args/0', '/args/1']);
  });

  it('lets a fully typed call through to an export that the manifest does not list', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({
      function: 'echo',
      entrypoint: 'Hidden',
      args: [{ type: 'int', value: 5 }],
      returns: 'int',
    });
    expect((await response.json()).result).toEqual({ type: 'int', value: 5 });
  });

  it('refuses another content type with 415', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke('<a/>', { 'content-type': 'application/xml' });
    expect([response.status, (await response.json()).code]).toEqual([415, 'unsupported-media-type']);
  });

  it('refuses a body over the limit with 413 that names it', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({ function: 'echo', args: ['A'.repeat(6 * 1024 * 1024)] });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({
      code: 'too-large',
      limit: { name: 'invocationBodyBytes', value: 6 * 1024 * 1024 },
    });
  });

  it('refuses arguments that the input buffer of the version cannot hold with 413', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke({ function: 'echo', args: ['A'.repeat(1_398_104)] });
    expect([response.status, (await response.json()).limit]).toEqual([
      413,
      { name: 'inputBytes', value: 2 ** 20 },
    ]);
  });

  it('refuses what fits the input buffer only before it is encoded with 413', async () => {
    const gateway = await gatewayWithEcho();
    // The encoding adds some hundred bytes at most: name, types, alignment, the buffer's own words.
    for (const missingBytes of [0, 16, 64]) {
      const text = Buffer.alloc(2 ** 20 - missingBytes).toString('base64');
      const response = await gateway.invoke({ function: 'echo', args: [text] });
      expect([response.status, (await response.json()).limit]).toEqual([
        413,
        { name: 'inputBytes', value: 2 ** 20 },
      ]);
    }
  });

  it('runs the latest version unless one is named', async () => {
    const gateway = await gatewayWithEcho();
    const timeouts = [101, 102, 103];
    for (const timeoutMs of timeouts) await gateway.upload('many', { ...ECHO_MANIFEST, timeoutMs });
    const call = { function: 'many', entrypoint: 'Nothing' };
    expect((await (await gateway.invoke(call)).json()).version).toBe(3);
    expect((await (await gateway.invoke({ ...call, version: 2 })).json()).version).toBe(2);
    await gateway.fetch('/v1/functions/many/versions/3', { method: 'DELETE' });
    expect((await (await gateway.invoke(call)).json()).version).toBe(2);
    expect((await gateway.invoke({ ...call, version: 3 })).status).toBe(404);
  });

  it('sees at once what another gateway uploaded or deleted', async () => {
    const first = await gatewayWithEcho();
    const second = await startGateway({ redis });
    const call = { function: 'shared', entrypoint: 'Nothing' };
    await first.upload('shared', ECHO_MANIFEST);
    expect((await (await second.invoke(call)).json()).version).toBe(1);
    await first.upload('shared', { ...ECHO_MANIFEST, timeoutMs: 777 });
    await expect.poll(async () => (await (await second.invoke(call)).json()).version).toBe(2);
    await first.fetch('/v1/functions/shared', { method: 'DELETE' });
    await expect.poll(async () => (await second.invoke(call)).status).toBe(404);
  });
});

describe('POST /invoke/{fn}', () => {
  const raw = (
    gateway: TestGateway,
    path: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ) =>
    gateway.fetch(`/invoke/${path}`, {
      method: 'POST',
      ...(body !== undefined && { body: typeof body === 'string' ? body : new Uint8Array(body) }),
      headers,
    });

  it('takes any bytes and answers with bytes, as data for a browser', async () => {
    const gateway = await gatewayWithEcho();
    const body = Buffer.from([0, 255, 128, 10]);
    for (const type of [
      'application/octet-stream',
      'application/json',
      'multipart/form-data; boundary=x',
      '',
    ]) {
      const response = await raw(gateway, 'echo', body, type === '' ? {} : { 'content-type': type });
      expect(response.status).toBe(200);
      expect(Buffer.from(await response.arrayBuffer())).toEqual(body);
      expect(response.headers.get('content-type')).toBe('application/octet-stream');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('content-security-policy')).toContain('sandbox');
      expect(response.headers.get('invocation-id')).toMatch(/^inv_/);
      expect(response.headers.get('function-version')).toBe('1');
    }
  });

  it.each([
    ['echo?entrypoint=echo-string', 'grüße', 'text/plain; charset=utf-8'],
    ['echo?entrypoint=Svg', '<svg/>', 'image/svg+xml; charset=utf-8'],
    ['echo@1?entrypoint=Png', 'png', 'image/png'],
  ])('answers %s as its media type', async (path, body, contentType) => {
    const gateway = await gatewayWithEcho();
    const response = await raw(gateway, path, body);
    expect([await response.text(), response.headers.get('content-type')]).toEqual([body, contentType]);
    const id = response.headers.get('invocation-id');
    await expect
      .poll(async () => (await gateway.fetch(`/v1/invocations/${id}/result`)).headers.get('content-type'))
      .toBe(contentType);
    expect(await (await gateway.fetch(`/v1/invocations/${id}/result`)).text()).toBe(body);
  });

  it('takes no body as no bytes', async () => {
    const gateway = await gatewayWithEcho();
    const response = await raw(gateway, 'echo');
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  it('takes and gives megabytes through the blob store', async () => {
    const gateway = await gatewayWithEcho();
    worker.script = async ({ input }) =>
      input.kind === 'blob'
        ? {
            result: { kind: 'blob', type: 'bytes', sha256: input.sha256, lengthBytes: input.lengthBytes },
            body: await gateway.blobs.get('default', input.sha256, { limitBytes: input.lengthBytes }),
          }
        : { outcome: 'protocol' };
    const memory = { inputBytes: 2 ** 22, outputBytes: 2 ** 22 };
    expect((await gateway.upload('roomy', { ...ECHO_MANIFEST, memory })).ok).toBe(true);
    const body = Buffer.alloc(3_000_000, 'body ');
    const response = await raw(gateway, 'roomy', body);
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  it('answers guest faults as problems', async () => {
    const gateway = await gatewayWithEcho();
    worker.script = () => ({ outcome: 'aborted', detail: { message: 'gone' } });
    const response = await raw(gateway, 'echo', 'x');
    expect([response.status, response.headers.get('function-error')]).toEqual([502, 'aborted']);
    expect((await response.json()).code).toBe('aborted');
  });

  it.each([
    ['nope', 404],
    ['echo@9', 404],
    ['echo@0', 400],
    ['echo@x', 400],
    ['echo@1@2', 400],
    ['echo@', 400],
    ['@1', 400],
    ['..%2f..%2fetc', 400],
    ['a%00b', 400],
    ['%ff', 400],
    [`${'f'.repeat(65)}`, 400],
    ['echo?entrypoint=Nope', 404],
    ['echo?entrypoint=Add', 400],
    ['echo?entrypoint=Length', 400],
    ['echo?entrypoint=', 400],
    ['echo?entrypoint=toString', 404],
    ['echo?entrypoint=Svg&entrypoint=Png', 400],
    ['echo?what=1', 400],
    ['echo?timeoutMs=0', 400],
    ['echo?timeoutMs=1e3', 400],
    ['echo?timeoutMs=30001', 400],
    ['bare', 400],
    ['bare?entrypoint=X', 404],
    ['echo/../../etc', 404],
  ])('refuses %s with %i', async (path, status) => {
    const gateway = await gatewayWithEcho();
    worker.jobs.length = 0;
    const response = await raw(gateway, path, 'x');
    const problem = await response.json();
    expect(response.status, JSON.stringify(problem)).toBe(status);
    expect(problem.status).toBe(status);
    expect(worker.jobs).toEqual([]);
  });

  it('refuses bytes that are no UTF-8 for a string', async () => {
    const gateway = await gatewayWithEcho();
    const response = await raw(gateway, 'echo?entrypoint=Svg', Buffer.from([0xc3, 0x28]));
    expect([response.status, (await response.json()).code]).toEqual([400, 'invalid-request']);
  });

  it('refuses a body over the limit with 413', async () => {
    const gateway = await gatewayWithEcho();
    const response = await raw(gateway, 'echo', Buffer.alloc(6 * 1024 * 1024 + 1));
    expect([response.status, (await response.json()).limit.name]).toEqual([413, 'invocationBodyBytes']);
  });

  it('refuses a body that the input buffer of the version cannot hold with 413', async () => {
    const gateway = await gatewayWithEcho();
    for (const lengthBytes of [2 ** 20 + 1, 2 ** 20, 2 ** 20 - 64]) {
      const response = await raw(gateway, 'echo', Buffer.alloc(lengthBytes));
      expect([response.status, (await response.json()).limit]).toEqual([
        413,
        { name: 'inputBytes', value: 2 ** 20 },
      ]);
    }
  });
});

describe('Prefer: respond-async', () => {
  const async = { prefer: 'handling=lenient, respond-async' };

  it('answers 202 with the place of the record, then the same bytes as the sync answer', async () => {
    const gateway = await gatewayWithEcho();
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    worker.script = async (item, job) => {
      await released;
      return echo(item, job) as never;
    };
    const response = await gateway.invoke({ function: 'echo', entrypoint: 'echo-int', args: [3] }, async);
    expect(response.status).toBe(202);
    const accepted = await response.json();
    const location = response.headers.get('location') ?? '';
    expect(location).toBe(`/v1/invocations/${accepted.invocationId}`);
    expect(accepted).toMatchObject({ state: 'queued', function: 'echo', version: 1, entrypoint: 'echo-int' });
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('preference-applied')).toBe('respond-async');

    const pending = await gateway.fetch(`${location}/result`);
    expect([pending.status, pending.headers.get('retry-after')]).toEqual([202, '1']);
    await expect.poll(async () => (await (await gateway.fetch(location)).json()).state).toBe('running');
    release();
    await expect.poll(async () => (await (await gateway.fetch(location)).json()).state).toBe('succeeded');
    const result = await gateway.fetch(`${location}/result`);
    expect(result.status).toBe(200);
    expect(await result.json()).toMatchObject({
      result: { type: 'int', value: 3 },
      invocationId: accepted.invocationId,
    });
  });

  it('remembers that a raw call wants a raw answer', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.fetch('/invoke/echo?entrypoint=Svg', {
      method: 'POST',
      body: '<svg/>',
      headers: async,
    });
    expect(response.status).toBe(202);
    const location = `${response.headers.get('location')}/result`;
    await expect.poll(async () => (await gateway.fetch(location)).status).toBe(200);
    const result = await gateway.fetch(location);
    expect(await result.text()).toBe('<svg/>');
    expect(result.headers.get('content-type')).toBe('image/svg+xml; charset=utf-8');
    expect(result.headers.get('content-security-policy')).toContain('sandbox');
  });

  it('refuses what a sync call is refused for, with no record', async () => {
    const gateway = await gatewayWithEcho();
    expect((await gateway.invoke({ function: 'nope' }, async)).status).toBe(404);
    expect((await gateway.invoke({ function: 'echo', args: [null] }, async)).status).toBe(400);
  });
});

describe('GET /v1/invocations/{id}', () => {
  it('shows how a sync call ended', async () => {
    const gateway = await gatewayWithEcho();
    worker.script = () => ({ outcome: 'timeout', detail: { message: 'ran 5 ms' }, logTail: 'tail' });
    const { invocationId } = await (
      await gateway.invoke({ function: 'bare', entrypoint: 'X', returns: 'void' })
    ).json();
    const response = await gateway.fetch(`/v1/invocations/${invocationId}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      invocationId,
      state: 'timed_out',
      outcome: 'timeout',
      detail: { message: 'ran 5 ms' },
      logTail: 'tail',
      attempt: 1,
      usage: { dirtyPages: 16 },
      links: { result: `/v1/invocations/${invocationId}/result` },
    });
  });

  it.each(['inv_', 'x', 'inv_XYZ', `inv_${'0'.repeat(31)}`, `inv_${'0'.repeat(33)}`, '..%2fx', '%00'])(
    'refuses the id %s',
    async (id) => {
      const gateway = await gatewayWithEcho();
      for (const path of [`/v1/invocations/${id}`, `/v1/invocations/${id}/result`])
        expect((await gateway.fetch(path)).status).toBe(400);
    },
  );

  it('knows no invocation that never was', async () => {
    const gateway = await gatewayWithEcho();
    for (const path of [
      `/v1/invocations/inv_${'0'.repeat(32)}`,
      `/v1/invocations/inv_${'0'.repeat(32)}/result`,
    ])
      expect((await gateway.fetch(path)).status).toBe(404);
  });
});
