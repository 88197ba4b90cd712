import { once } from 'node:events';
import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import { keys, LIMITS, WORKER_ALIVE_MS } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startGateway, type TestGateway } from './support/test-gateway.js';

interface Operation {
  readonly requestBody: {
    readonly content: Readonly<Record<string, { readonly schema: { readonly required?: string[] } }>>;
  };
  readonly responses: Readonly<Record<string, { readonly content?: unknown }>>;
}

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, { readonly post?: Operation }>>;
}

function operation(document: OpenApi, path: string): Operation {
  const post = document.paths[path]?.post;
  if (post === undefined) throw new Error(`no POST ${path}`);
  return post;
}

describe('health', () => {
  it('is ready with a Redis and a live worker', async () => {
    const gateway = await startGateway();
    const redis = new Redis({ path: gateway.redis.socketPath });
    onTestFinished(() => redis.disconnect());
    const ready = async () => (await fetch(`${gateway.url}/readyz`)).status;
    expect(await ready()).toBe(503);
    await redis.zadd(keys.workers, Date.now() - WORKER_ALIVE_MS - 1, 'gone');
    expect(await ready()).toBe(503);
    await redis.zadd(keys.workers, Date.now(), 'alive');
    expect(await ready()).toBe(200);
    const verbose = await (await fetch(`${gateway.url}/readyz?verbose`)).json();
    expect(verbose).toEqual({
      status: 'ok',
      checks: [
        { name: 'accepting', ok: true },
        { name: 'redis', ok: true },
        { name: 'redisMemory', ok: true, detail: '0 % of maxmemory' },
        { name: 'workers', ok: true, detail: '1 alive' },
      ],
    });
    expect(await (await fetch(`${gateway.url}/readyz`)).json()).toEqual({ status: 'ok' });
  });

  it('is alive without asking anybody', async () => {
    const gateway = await startGateway();
    const response = await fetch(`${gateway.url}/livez`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });
});

describe('limits and description', () => {
  it('answers the limits that it enforces', async () => {
    const gateway = await startGateway({ env: { MAYFLY_GATEWAY_MAX_IN_FLIGHT: '7' } });
    const { limits, defaults } = await (await gateway.fetch('/v1/limits')).json();
    expect(limits).toEqual({ ...LIMITS, maxInFlight: 7, tenantMaxInFlight: 1024, maxQueueDepth: 10_000 });
    expect(defaults.timeoutMs).toBe(LIMITS.defaultTimeoutMs);
  });

  it('describes every route in OpenAPI 3.1', async () => {
    const gateway = await startGateway();
    const document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as OpenApi;
    expect(document.openapi).toBe('3.1.0');
    const paths = gateway.routes.map(({ url }) => url.replaceAll(/:(\w+)/g, '{$1}'));
    const described = new Set(paths.filter((path) => path !== '/openapi.json'));
    expect(described.size).toBeGreaterThan(20);
    expect(Object.keys(document.paths).sort()).toEqual([...described].sort());
    const { requestBody, responses } = operation(document, '/invoke');
    expect(requestBody.content['application/json']?.schema.required).toEqual(['function']);
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '202']));
    const upload = operation(document, '/v1/functions/{name}/versions');
    expect(Object.keys(upload.requestBody.content)).toEqual([
      'multipart/form-data',
      'application/octet-stream',
    ]);
    expect(responses['4XX']?.content).toHaveProperty('application/problem+json');
  });
});

describe('what is no request of ours', () => {
  const raw = async (gateway: TestGateway, head: string): Promise<string> => {
    const socket = createConnection(Number(new URL(gateway.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(head);
    return text(socket);
  };

  it.each([
    ['GET', '/'],
    ['GET', '/invoke'],
    ['PUT', '/invoke'],
    ['POST', '/v1/functions'],
    ['GET', '/v1/functions/'],
    ['GET', '/v1/functions/a/b/c'],
    ['GET', '/../../etc/passwd'],
    ['GET', `/${'x'.repeat(5000)}`],
  ])('answers %s %s as a problem', async (method, path) => {
    const gateway = await startGateway();
    const response = await gateway.fetch(path, { method });
    expect([404, 400]).toContain(response.status);
    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect((await response.json()).status).toBe(response.status);
  });

  it.each([
    ['a path that does not decode', 'GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
    ['text that is no HTTP', 'HELO\r\n\r\n', 400],
    ['a header that is too large', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'two lengths',
      'POST /invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
  ])('answers %s as a problem', async (_name, head, status) => {
    const gateway = await startGateway();
    const answer = await raw(gateway, head);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer.toLowerCase()).toContain('content-type: application/problem+json');
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
    expect(JSON.parse(body).status).toBe(status);
  });
});
