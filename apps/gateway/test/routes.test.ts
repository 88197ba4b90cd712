import { randomBytes } from 'node:crypto';
import { SCOPES } from '@mayfly/contracts';
import { SecretKeys } from '@mayfly/secrets';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { type RouteScope, requireKey } from '../src/plugins/auth.js';
import type { Answer } from './support/answer-body.js';
import { ECHO_MANIFEST, startGateway, TENANT_KEY, type TestGateway } from './support/test-gateway.js';

/**
 * What a key of another tenant finds: `404`, or its own things (`own`).
 * What a key for other functions finds: `403` by the name in path or body, `404`, or what is left (`fewer`).
 */
interface Row {
  readonly scope: RouteScope | 'open';
  readonly foreign?: 404 | 'own';
  readonly pattern?: 403 | 404 | 'fewer' | 'none';
  /** A valid body, so that what is tested is not refused before as a request that is wrong. */
  readonly body?: unknown;
}

const CALL = { entrypoint: 'Nothing', args: [] };

const open: Row = { scope: 'open' };
const operator = (body?: unknown): Row => ({ scope: 'operator', body });
const ofFunction = (scope: RouteScope, body?: unknown): Row => ({ scope, foreign: 404, pattern: 403, body });
const ofInvocation: Row = { scope: 'invocation:read', foreign: 404, pattern: 404 };
const admin = (body?: unknown): Row => ({ scope: 'tenant:admin', foreign: 404, pattern: 'none', body });
const list = (scope: RouteScope): Row => ({ scope, foreign: 'own', pattern: 'fewer' });
/** A secret is no function's, so that a key for some functions may not touch it. */
const secret: Row = { scope: 'secret:write', foreign: 404, pattern: 403 };
const plain: Row = { scope: 'any', foreign: 'own', pattern: 'none' };

/** Every route of the gateway, a row each: one that has none fails the first test. */
const ROWS: Readonly<Record<string, Row>> = {
  'GET /livez': open,
  'GET /readyz': open,
  'GET /openapi.json': open,
  'POST /invoke': ofFunction('function:invoke', { function: 'fn', entrypoint: 'Nothing', args: [] }),
  'POST /invoke/:target': ofFunction('function:invoke', 'x'),
  'GET /v1/functions': list('any'),
  'GET /v1/functions/:name': ofFunction('any'),
  'DELETE /v1/functions/:name': ofFunction('function:write'),
  'GET /v1/functions/:name/versions': ofFunction('any'),
  'POST /v1/functions/:name/versions': { scope: 'function:write', foreign: 'own', pattern: 403 },
  'GET /v1/functions/:name/versions/:version': ofFunction('any'),
  'DELETE /v1/functions/:name/versions/:version': ofFunction('function:write'),
  'POST /v1/functions/:name/versions/:version/warm': ofFunction('function:write'),
  'GET /v1/functions/:name/conditions': ofFunction('any'),
  'GET /v1/functions/:name/config': ofFunction('any'),
  'PUT /v1/functions/:name/config': ofFunction('function:write', { timeoutMs: 100 }),
  'GET /v1/functions/:name/aliases': ofFunction('any'),
  'GET /v1/functions/:name/aliases/:alias': ofFunction('any'),
  'PUT /v1/functions/:name/aliases/:alias': ofFunction('function:write', { weights: { 1: 1 } }),
  'DELETE /v1/functions/:name/aliases/:alias': ofFunction('function:write'),
  'POST /v1/functions/:name/invoke-batch': ofFunction('function:invoke', [CALL]),
  'GET /v1/batches/:id': ofInvocation,
  'GET /v1/functions/:name/dead-letters': { ...ofFunction('invocation:read'), foreign: 'own' },
  'GET /v1/functions/:name/dead-letters/:id': ofFunction('invocation:read'),
  'DELETE /v1/functions/:name/dead-letters': { ...ofFunction('function:write'), foreign: 'own' },
  'DELETE /v1/functions/:name/dead-letters/:id': ofFunction('function:write'),
  'POST /v1/functions/:name/dead-letters/redrive': {
    ...ofFunction('function:invoke', { all: true }),
    foreign: 'own',
  },
  'GET /v1/invocations': list('invocation:read'),
  'GET /v1/invocations/:id': ofInvocation,
  'GET /v1/invocations/:id/result': ofInvocation,
  'GET /v1/invocations/:id/logs': ofInvocation,
  'POST /v1/invocations/:id/cancel': { ...ofInvocation, scope: 'function:invoke' },
  'DELETE /v1/invocations/:id': { ...ofInvocation, scope: 'tenant:admin' },
  'GET /v1/secrets': { scope: 'secret:write', foreign: 'own', pattern: 403 },
  'GET /v1/secrets/:name': secret,
  'PUT /v1/secrets/:name': { ...secret, foreign: 'own', body: { value: 'x' } },
  'DELETE /v1/secrets/:name': secret,
  'DELETE /v1/secrets/:name/versions/:version': secret,
  'GET /v1/webhook-secret': secret,
  'POST /v1/webhook-secret': { ...secret, foreign: 'own', body: {} },
  'GET /v1/limits': plain,
  'GET /v1/hosts': operator(),
  'POST /v1/hosts/:id/cordon': operator(),
  'POST /v1/hosts/:id/drain': operator(),
  'POST /v1/hosts/:id/uncordon': operator(),
  'GET /v1/quota': plain,
  'GET /v1/usage': list('invocation:read'),
  'GET /v1/tenants': operator(),
  'POST /v1/tenants': operator({ name: 'new' }),
  'GET /v1/tenants/:tenant': admin(),
  'DELETE /v1/tenants/:tenant': operator(),
  'POST /v1/tenants/:tenant/pause': operator(),
  'POST /v1/tenants/:tenant/unpause': operator(),
  'GET /v1/tenants/:tenant/quotas': admin(),
  'PUT /v1/tenants/:tenant/quotas': operator({}),
  'GET /v1/tenants/:tenant/policy': admin(),
  'PUT /v1/tenants/:tenant/policy': operator({ requiresKvm: 'any', callbackHosts: [] }),
  'GET /v1/tenants/:tenant/keys': admin(),
  'POST /v1/tenants/:tenant/keys': admin({ scopes: ['function:invoke'] }),
  'DELETE /v1/tenants/:tenant/keys/:key': admin(),
  'POST /v1/tenants/:tenant/keys/:key/rotate': admin({ overlapS: 1 }),
  'GET /v1/operator-keys': operator(),
  'POST /v1/operator-keys': operator({}),
  'DELETE /v1/operator-keys/:key': operator(),
  'POST /v1/operator-keys/:key/rotate': operator({ overlapS: 1 }),
  'GET /v1/quarantine': operator(),
  'DELETE /v1/tenants/:tenant/functions/:name/versions/:version/quarantine': operator(),
  'GET /v1/audit': operator(),
  'GET /v1/audit/verify': operator(),
};

const guarded = Object.entries(ROWS).filter(([, { scope }]) => scope !== 'open');

/** Things of the tenant `default` under the names that paths are filled with, and keys of all kinds. */
interface Stage {
  readonly gateway: TestGateway;
  readonly values: Readonly<Record<string, string>>;
  readonly foreign: string;
  readonly elsewhere: string;
  readonly expired: string;
  readonly revoked: string;
}

async function stage(): Promise<Stage> {
  const gateway = await startGateway({ secretKeys: new SecretKeys([randomBytes(32)]) });
  await gateway.startWorker();
  await gateway.upload('fn', ECHO_MANIFEST);
  const alias = JSON.stringify({ weights: { 1: 1 } });
  const headers = { 'content-type': 'application/json' };
  await gateway.fetch('/v1/functions/fn/aliases/live', { method: 'PUT', body: alias, headers });
  const put = await gateway.fetch('/v1/secrets/fn', { method: 'PUT', body: '{"value":"x"}', headers });
  expect(put.status).toBe(201);
  const signing = await gateway.fetch('/v1/webhook-secret', { method: 'POST', body: '{}', headers });
  expect(signing.status).toBe(201);
  const call = await gateway.invoke({ function: 'fn', entrypoint: 'Nothing', args: [] });
  const batch = await gateway.fetch('/v1/functions/fn/invoke-batch', {
    ...{ method: 'POST', body: JSON.stringify([CALL]) },
    headers: { ...headers, prefer: 'respond-async' },
  });
  const { batchId } = await batch.json();
  const { key } = await gateway.newKey('default', { label: 'to be named in paths' });
  const revoked = await gateway.newKey('default');
  await gateway.services.keyAdmin.revoke('test', 'default', revoked.key.id);
  const expired = await gateway.newKey('default', { expiresInS: 3600 });
  await gateway.services.keyAdmin.rotate('test', 'default', expired.key.id, 0);
  return {
    gateway,
    values: {
      ...{ name: 'fn', version: '1', alias: 'live', target: 'fn', tenant: 'default', key: key.id },
      id: call.headers.get('invocation-id') ?? '',
      batch: batchId,
    },
    foreign: (await gateway.newKey('other')).text,
    elsewhere: (await gateway.newKey('default', { functionPattern: 'other-*' })).text,
    expired: expired.text,
    revoked: revoked.text,
  };
}

interface Shown {
  readonly authorization?: string;
  readonly 'mayfly-tenant'?: string;
  readonly 'if-match'?: string;
}

const bearer = (key: string): Shown => ({ authorization: `Bearer ${key}` });

/** Asks for one route; parameters in its path get their values. */
function ask({ gateway, values }: Stage, route: string, shown: Shown, query = ''): Promise<Answer> {
  const [method = '', url = ''] = route.split(' ');
  const path = url.replaceAll(
    /:(\w+)/g,
    (_, name: string) => values[url.startsWith('/v1/batches') ? 'batch' : name] ?? `no value for ${name}`,
  );
  const { body } = ROWS[route] ?? {};
  const isText = typeof body === 'string';
  return fetch(`${gateway.url}${path}${method === 'DELETE' ? query : ''}`, {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': isText ? 'text/plain' : 'application/json' }),
      ...shown,
    },
    ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
  }) as Promise<Answer>;
}

type Rows = readonly (readonly [route: string, row: Row])[];

/** Asks for each of the routes and compares what they answer with what each is to answer, all at once. */
async function expectAll(
  at: Stage,
  rows: Rows,
  { shown, expected }: { shown: Shown; expected: (row: Row) => unknown },
): Promise<void> {
  expect(rows.length).toBeGreaterThan(0);
  const answers: [string, unknown][] = [];
  for (const [route] of rows) {
    const answer = await ask(at, route, shown);
    const { code } = answer.status === 200 ? { code: '' } : await answer.json();
    answers.push([route, answer.status === 200 ? 200 : `${answer.status} ${code}`]);
  }
  expect(Object.fromEntries(answers)).toEqual(
    Object.fromEntries(rows.map(([route, row]) => [route, expected(row)])),
  );
}

const UNAUTHORIZED = '401 unauthorized';
const FORBIDDEN = '403 forbidden';
const NOT_FOUND = '404 not-found';

describe('every route', () => {
  it('has a row here, with the scope that it wants', async () => {
    const { routes } = await startGateway();
    const found = routes
      .filter(({ method }) => method !== 'HEAD')
      .map(({ method, url, scope }) => [`${method} ${url}`, scope ?? 'open']);
    const rows = Object.entries(ROWS).map(([route, { scope }]) => [route, scope]);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(rows));
  });

  it('wants for HEAD what it wants for GET', async () => {
    const { routes } = await startGateway();
    const heads = routes.filter(({ method }) => method === 'HEAD');
    expect(heads.length).toBeGreaterThan(5);
    for (const { url, scope } of heads)
      expect([url, scope ?? 'open']).toEqual([url, ROWS[`GET ${url}`]?.scope]);
  });

  it.each([
    ['no key', () => ({})],
    ['a key that was never made', () => bearer(`mf_${'0'.repeat(12)}_${'0'.repeat(48)}`)],
    ['a key with another secret', ({ foreign }) => bearer(foreign.replace(/.{8}$/, '00000000'))],
    ['an expired key', ({ expired }) => bearer(expired)],
    ['a revoked key', ({ revoked }) => bearer(revoked)],
    ['the beginning of a key', () => bearer(TENANT_KEY.slice(0, -1))],
    ['more than a key', () => bearer(`${TENANT_KEY}x`)],
    ['another scheme', () => ({ authorization: `Basic ${TENANT_KEY}` })],
    ['a key alone', () => ({ authorization: TENANT_KEY })],
    ['two words', () => bearer(`${TENANT_KEY} x`)],
    ['nothing after the scheme', () => ({ authorization: 'Bearer ' })],
  ] as [string, (at: Stage) => Shown][])('refuses %s', async (_, shown) => {
    const at = await stage();
    await expectAll(at, guarded, { shown: shown(at), expected: () => UNAUTHORIZED });
    const answer = await ask(at, 'GET /v1/limits', shown(at));
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('refuses a key without its scope', async () => {
    const at = await stage();
    for (const scope of SCOPES) {
      const { text } = await at.gateway.newKey('default', {
        scopes: SCOPES.filter((each) => each !== scope),
      });
      const rows = guarded.filter(([, row]) => row.scope === scope);
      if (rows.length > 0) await expectAll(at, rows, { shown: bearer(text), expected: () => FORBIDDEN });
    }
  });

  it('refuses a tenant’s key where an operator’s is wanted, whatever its scopes', async () => {
    const at = await stage();
    const rows = guarded.filter(([, { scope }]) => scope === 'operator');
    await expectAll(at, rows, { shown: bearer(TENANT_KEY), expected: () => FORBIDDEN });
  });

  it('shows a key of another tenant nothing, as if it were not there', async () => {
    const at = await stage();
    const rows = guarded.filter(([, { foreign }]) => foreign === 404);
    await expectAll(at, rows, { shown: bearer(at.foreign), expected: () => NOT_FOUND });
    for (const [route] of guarded.filter(
      ([path, { foreign }]) => foreign === 'own' && path.startsWith('GET'),
    )) {
      const answer = await ask(at, route, bearer(at.foreign));
      const text = await answer.text();
      expect([route, answer.status]).toEqual([route, 200]);
      for (const secret of ['"fn"', at.values['id'] ?? '']) expect(text).not.toContain(secret);
    }
  });

  it('shows a key for other functions no more than those', async () => {
    const at = await stage();
    const by = (pattern: Row['pattern']) => guarded.filter(([, row]) => row.pattern === pattern);
    const shown = bearer(at.elsewhere);
    await expectAll(at, by(403), { shown, expected: () => FORBIDDEN });
    await expectAll(at, by(404), { shown, expected: () => NOT_FOUND });
    for (const [route] of by('fewer')) {
      const answer = await ask(at, route, shown);
      expect([route, answer.status, await answer.json()]).toMatchObject([route, 200, { items: [] }]);
    }
  });

  it('lets an operator act for no tenant', async () => {
    const at = await stage();
    const { text } = await at.gateway.services.keyAdmin.create('test', '', { scopes: [] });
    const inPath = (route: string) => route.includes('/:tenant');
    const rows = guarded.filter(([route, { scope }]) => scope !== 'operator' && !inPath(route));
    await expectAll(at, rows, { shown: bearer(text), expected: () => FORBIDDEN });
    const changing = rows.filter(([route]) => !route.startsWith('GET'));
    const named = { ...bearer(text), 'mayfly-tenant': 'default' };
    await expectAll(at, changing, { shown: named, expected: () => FORBIDDEN });
    expect((await ask(at, 'GET /v1/functions/:name', named)).status).toBe(200);
  });

  it('is left as it was by all that is refused', async () => {
    const at = await stage();
    const scopes = SCOPES.filter((scope) => scope !== 'tenant:admin');
    const { text: elsewhere } = await at.gateway.newKey('default', { functionPattern: 'other-*', scopes });
    const answers = [at.foreign, elsewhere, at.expired, at.revoked, 'nobody'].flatMap((key) =>
      guarded
        .filter(
          ([route]) => !route.startsWith('GET') && !route.startsWith('POST /v1/functions/:name/versions'),
        )
        .map(([route]) => ask(at, route, bearer(key))),
    );
    await Promise.all(answers);
    const ours = bearer(TENANT_KEY);
    expect((await ask(at, 'GET /v1/functions/:name/aliases/:alias', ours)).status).toBe(200);
    expect((await ask(at, 'GET /v1/invocations/:id', ours)).status).toBe(200);
    const { items } = await (await ask(at, 'GET /v1/tenants/:tenant/keys', ours)).json();
    expect(items.map(({ id }) => id)).toContain(at.values['key']);
  });
});

/** Calls are on record by themselves. */
const CALLS = ['POST /invoke', 'POST /invoke/:target', 'POST /v1/functions/:name/invoke-batch'];
const isChange = (route: string) =>
  !route.startsWith('GET') && !CALLS.includes(route) && !route.endsWith('/cancel');

describe('the audit log', () => {
  const changes = guarded.map(([route]) => route).filter(isChange);
  /** No workers are there to be given orders, and nothing failed; an upload has a body of its own. */
  const [away, upload] = [
    (route: string) => /\/v1\/hosts\/|\/warm$|\/quarantine$|\/dead-letters/.test(route),
    'POST /v1/functions/:name/versions',
  ];

  it.each(changes.filter((route) => !away(route)))(
    'holds what %s changed, who did, and from where',
    async (route) => {
      const at = await stage();
      const { gateway } = at;
      const { audit, keyAdmin } = gateway.services;
      const isOperators = ROWS[route]?.scope === 'operator';
      const { key, text } = await keyAdmin.create('test', '', { scopes: [] });
      const before = (await audit.verify()).entries;
      const changed = {
        ...at,
        values: { ...at.values, ...(route.includes('operator-keys') && { key: key.id }) },
      };
      // The key in the path stands beside another that does not expire.
      if (isOperators) await keyAdmin.create('test', '', { scopes: [] });
      const answer =
        route === upload
          ? await gateway.upload('another', ECHO_MANIFEST)
          : await ask(
              changed,
              route,
              { ...bearer(isOperators ? text : TENANT_KEY), 'if-match': '*' },
              '?force=true',
            );
      expect([200, 201, 202, 204]).toContain(answer.status);
      const { items } = await audit.page(undefined, 200);
      const entries = items.slice(before).filter(({ actor }) => actor.kind !== 'platform');
      expect(entries.length).toBeGreaterThan(0);
      for (const entry of entries)
        expect(entry).toMatchObject({
          actor: isOperators ? { kind: 'operator', keyId: key.id } : { kind: 'tenant', keyId: 'bootstrap' },
          from: '127.0.0.1',
        });
      expect((await audit.verify()).broken).toBeUndefined();
    },
  );
});

describe('a route that names no scope', () => {
  it('does not start', async () => {
    const app = Fastify();
    const rules = { authenticator: { identify: () => undefined }, onOperatorRead: async () => undefined };
    const registered = app.register(async (scope) => {
      requireKey(scope, rules);
      scope.get('/open-door', () => 'in');
    });
    await expect(Promise.resolve(registered)).rejects.toMatchObject({ code: 'MAYFLY_ERR_GATEWAY_CONFIG' });
  });
});
