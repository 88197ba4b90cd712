import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { OidcTokens } from '../../src/tenants/oidc-tokens.js';
import { startGateway, type TestGateway } from '../support/test-gateway.js';

const AUDIENCE = 'mayfly-test';

interface KeyPair {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

/** A small issuer, over real HTTP: its discovery document and the keys that it publishes at that moment. */
class Issuer {
  readonly url: string;
  readonly published: KeyPair[] = [];
  keyRequests = 0;
  isDown = false;

  private constructor(url: string) {
    this.url = url;
  }

  static async start(): Promise<Issuer> {
    const server = createServer((request, response) => {
      void issuer.#answer(request.url ?? '').then((body) => {
        response.statusCode = body === undefined ? 503 : 200;
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(body ?? {}));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const issuer = new Issuer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await issuer.addKey();
    return issuer;
  }

  async addKey(alg = 'RS256'): Promise<KeyPair> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const pair = { kid: `k${this.published.length}-${alg}`, alg, privateKey, publicKey };
    this.published.push(pair);
    return pair;
  }

  /** A token as this issuer makes them, unless the claims say otherwise. */
  token(
    claims: JWTPayload = {},
    { kid, alg, privateKey } = this.published.at(-1) as KeyPair,
  ): Promise<string> {
    return new SignJWT(this.claims(claims)).setProtectedHeader({ alg, kid }).sign(privateKey);
  }

  claims(claims: JWTPayload = {}): JWTPayload {
    const now = Math.floor(Date.now() / 1000);
    const own = { iss: this.url, aud: AUDIENCE, sub: 'ci', iat: now, exp: now + 300 };
    return { ...own, tenant: 'default', scope: 'openid function:write invocation:read', ...claims };
  }

  async #answer(path: string): Promise<unknown> {
    if (this.isDown) return undefined;
    if (path === '/.well-known/openid-configuration')
      return { issuer: this.url, jwks_uri: `${this.url}/keys` };
    this.keyRequests += 1;
    const keys = this.published.map(async ({ kid, alg, publicKey }) => ({
      ...(await exportJWK(publicKey)),
      ...{ kid, alg, use: 'sig' },
    }));
    return { keys: await Promise.all(keys) };
  }
}

async function withIssuer(): Promise<{ gateway: TestGateway; issuer: Issuer }> {
  const issuer = await Issuer.start();
  const gateway = await startGateway({
    env: { MAYFLY_GATEWAY_OIDC_ISSUER: issuer.url, MAYFLY_GATEWAY_OIDC_AUDIENCE: AUDIENCE },
  });
  return { gateway, issuer };
}

const statusOf = async (gateway: TestGateway, token: string, path = '/v1/functions') =>
  (await gateway.as(token, path)).status;

describe('a token of the issuer', () => {
  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'])(
    'lets in the tenant that it names, signed by %s',
    async (alg) => {
      const { gateway, issuer } = await withIssuer();
      await issuer.addKey(alg);
      expect(await statusOf(gateway, await issuer.token())).toBe(200);
    },
  );

  it('may do what its scopes say, as one text or a list, and no more', async () => {
    const { gateway, issuer } = await withIssuer();
    for (const scope of ['function:write', ['x', 'function:write']]) {
      const token = await issuer.token({ scope });
      expect((await gateway.as(token, '/v1/functions/fn', { method: 'DELETE' })).status).toBe(404);
      expect(await statusOf(gateway, token, '/v1/invocations')).toBe(403);
      expect(await statusOf(gateway, token, '/v1/tenants')).toBe(403);
    }
  });

  it('is on record by its subject', async () => {
    const { gateway, issuer } = await withIssuer();
    const init = { method: 'POST', body: '{"scopes":["function:invoke"]}' };
    const headers = { 'content-type': 'application/json' };
    const token = await issuer.token({ scope: 'tenant:admin' });
    expect((await gateway.as(token, '/v1/tenants/default/keys', { ...init, headers })).status).toBe(201);
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.at(-1)).toMatchObject({ actor: { kind: 'tenant', keyId: 'oidc:ci', tenant: 'default' } });
  });

  it('is taken from keys that were read once', async () => {
    const { gateway, issuer } = await withIssuer();
    const tokens = await Promise.all(['a', 'b', 'c'].map((sub) => issuer.token({ sub })));
    for (const token of [...tokens, ...tokens]) expect(await statusOf(gateway, token)).toBe(200);
    expect(issuer.keyRequests).toBe(1);
    issuer.isDown = true;
    expect(await statusOf(gateway, await issuer.token({ sub: 'd' }))).toBe(200);
  });

  it('ends with its tenant', async () => {
    const { gateway, issuer } = await withIssuer();
    await gateway.operator('/v1/tenants', { json: { name: 'acme' } });
    const token = await issuer.token({ tenant: 'acme' });
    expect(await statusOf(gateway, token)).toBe(200);
    await gateway.operator('/v1/tenants/acme', { method: 'DELETE' });
    expect(await statusOf(gateway, token)).toBe(401);
  });

  it('ends when it expires, also one that was verified before', async () => {
    const { gateway, issuer } = await withIssuer();
    const token = await issuer.token();
    expect(await statusOf(gateway, token)).toBe(200);
    const later = Date.now() + 331_000;
    vi.useFakeTimers({ toFake: ['Date'], now: later });
    onTestFinished(() => void vi.useRealTimers());
    expect(await statusOf(gateway, token)).toBe(401);
  });
});

const past = () => Math.floor(Date.now() / 1000) - 60;
describe('a token is refused', () => {
  it.each([
    ['of another issuer', { iss: 'http://127.0.0.1:1' }],
    ['for another audience', { aud: 'somebody-else' }],
    ['that has expired', { exp: past() }],
    ['that is not valid yet', { nbf: past() + 600 }],
    ['without an expiry', { exp: undefined }],
    ['without a subject', { sub: undefined }],
    ['without a tenant', { tenant: undefined }],
    ['of a tenant that is not there', { tenant: 'nobody' }],
    ['whose tenant is no name', { tenant: 'default:x' }],
    ['whose tenant is a list', { tenant: ['default'] }],
  ])('%s', async (_, claims) => {
    const { gateway, issuer } = await withIssuer();
    expect(await statusOf(gateway, await issuer.token())).toBe(200);
    expect(await statusOf(gateway, await issuer.token(claims as JWTPayload))).toBe(401);
  });

  it('that is not signed', async () => {
    const { gateway, issuer } = await withIssuer();
    expect(await statusOf(gateway, new UnsecuredJWT(issuer.claims()).encode())).toBe(401);
  });

  it('that is signed by HMAC with what is public', async () => {
    const { gateway, issuer } = await withIssuer();
    const [pair] = issuer.published as [KeyPair];
    const secret = new TextEncoder().encode(await exportSPKI(pair.publicKey));
    const forged = new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', kid: pair.kid });
    expect(await statusOf(gateway, await forged.sign(secret))).toBe(401);
  });

  it('that is signed by a key of somebody else under a known id', async () => {
    const { gateway, issuer } = await withIssuer();
    const [{ kid, alg }] = issuer.published as [KeyPair];
    const { privateKey } = await generateKeyPair(alg);
    const forged = new SignJWT(issuer.claims()).setProtectedHeader({ alg, kid });
    expect(await statusOf(gateway, await forged.sign(privateKey))).toBe(401);
  });

  it('that was changed', async () => {
    const { gateway, issuer } = await withIssuer();
    const [head, , signature] = (await issuer.token()).split('.');
    const body = Buffer.from(JSON.stringify(issuer.claims({ tenant: 'other' }))).toString('base64url');
    expect(await statusOf(gateway, `${head}.${body}.${signature}`)).toBe(401);
    expect(await statusOf(gateway, 'a.b.c')).toBe(401);
  });

  it('with 503 while its issuer’s keys are not known', async () => {
    const { gateway, issuer } = await withIssuer();
    issuer.isDown = true;
    const token = await issuer.token();
    const answer = await gateway.as(token, '/v1/functions');
    expect([answer.status, (await answer.json()).code]).toEqual([503, 'unavailable']);
    expect((await gateway.fetch('/v1/functions')).status).toBe(200);
  });

  it('where no issuer is set', async () => {
    const issuer = await Issuer.start();
    const gateway = await startGateway();
    expect(await statusOf(gateway, await issuer.token())).toBe(401);
  });
});

describe('keys that the issuer changes', () => {
  it('are taken from when it publishes them; those that it withdrew no longer', async () => {
    const issuer = await Issuer.start();
    const gateway = await startGateway();
    const tokens = new OidcTokens(
      { issuer: issuer.url, audience: AUDIENCE, tenantClaim: 'tenant', scopesClaim: 'scope', cooldownMs: 0 },
      gateway.services.directory,
    );
    const [old] = issuer.published as [KeyPair];
    expect(await tokens.identify(await issuer.token())).toMatchObject({ tenant: 'default' });
    const next = await issuer.addKey('ES256');
    expect(await tokens.identify(await issuer.token({ sub: 'next' }, next))).toMatchObject({
      keyId: 'oidc:next',
    });
    issuer.published.shift();
    // An id that nobody has makes the keys be read anew.
    expect(await tokens.identify(await issuer.token({}, { ...next, kid: 'unknown' }))).toBeUndefined();
    expect(await tokens.identify(await issuer.token({ sub: 'old' }, old))).toBeUndefined();
  });

  it('cannot make the gateway ask for each token that names an unknown one', async () => {
    const { gateway, issuer } = await withIssuer();
    const pair = issuer.published[0] as KeyPair;
    const tokens = await Promise.all(
      Array.from({ length: 10 }, (_, i) => issuer.token({}, { ...pair, kid: `nobody-${i}` })),
    );
    for (const token of tokens) expect(await statusOf(gateway, token)).toBe(401);
    expect(issuer.keyRequests).toBe(1);
  });
});
