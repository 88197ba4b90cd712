import { hash } from 'node:crypto';
import { isTenantName, SCOPES, type Scope } from '@mayfly/contracts';
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { gatewayError } from '../errors.js';
import type { Authenticator } from '../plugins/auth.js';
import type { Principal } from './principal.js';
import type { TenantDirectory } from './tenant-directory.js';

export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly tenantClaim: string;
  readonly scopesClaim: string;
  /** An unknown key id makes the issuer's keys be read again, no sooner than this. @defaultValue 5000 */
  readonly cooldownMs?: number;
}

/** Signatures with a key pair. None that a client could make: no `none`, and no HMAC with a key that is public. */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
const CLOCK_TOLERANCE_S = 30;
/** How long the issuer's keys are used without being read again, and so a key that it withdrew. */
const KEYS_LIFE_MS = 600_000;
const COOLDOWN_MS = 5_000;
const FETCH_TIMEOUT_MS = 5_000;
/** How long a token that was verified is taken without that, unless it expires before. */
const VERIFIED_MS = 60_000;
const MAX_VERIFIED = 10_000;
const MAX_TOKEN_LENGTH = 8_192;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

export const isJwt = (token: string): boolean => token.length <= MAX_TOKEN_LENGTH && JWT.test(token);

/** Tokens of one OIDC issuer (JWTs), as the second way in; its keys are found by discovery and kept. */
export class OidcTokens implements Authenticator {
  readonly #settings: OidcSettings;
  readonly #directory: TenantDirectory;
  readonly #verified = new Map<string, { readonly principal: Principal; readonly untilMs: number }>();
  #keys: Promise<JWTVerifyGetKey> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(settings: OidcSettings, directory: TenantDirectory) {
    this.#settings = settings;
    this.#directory = directory;
  }

  identify(token: string): Principal | undefined | Promise<Principal | undefined> {
    const id = hash('sha256', token, 'base64url');
    const known = this.#verified.get(id);
    if (known === undefined || Date.now() >= known.untilMs || !this.#directory.isFresh)
      return this.#verify(token, id);
    return this.#ofLiveTenant(known.principal);
  }

  async #verify(token: string, id: string): Promise<Principal | undefined> {
    this.#verified.delete(id);
    const payload = await this.#payloadOf(token);
    const principal = payload && this.#principalOf(payload);
    if (payload === undefined || principal === undefined) return undefined;
    const expiresAtMs = (payload.exp ?? 0) * 1000;
    this.#verified.set(id, { principal, untilMs: Math.min(expiresAtMs, Date.now() + VERIFIED_MS) });
    const [oldest] = this.#verified.keys();
    if (this.#verified.size > MAX_VERIFIED && oldest !== undefined) this.#verified.delete(oldest);
    if (!this.#directory.isFresh) await this.#directory.refresh();
    return this.#ofLiveTenant(principal);
  }

  /** @returns undefined for a token that does not hold. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE without keys. */
  async #payloadOf(token: string): Promise<JWTPayload | undefined> {
    const { issuer, audience } = this.#settings;
    try {
      const { payload } = await jwtVerify(token, await this.#issuerKeys(), {
        ...{ issuer, audience, algorithms: ALGORITHMS },
        ...{ clockTolerance: CLOCK_TOLERANCE_S, requiredClaims: ['exp', 'sub'] },
      });
      return payload;
    } catch (error) {
      if (isOfToken(error)) return undefined;
      throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'the keys of the OIDC issuer cannot be read', {
        cause: error,
      });
    }
  }

  /** The issuer's key set, found once; a failure is remembered for a moment, so that nobody can make us ask again. */
  #issuerKeys(): Promise<JWTVerifyGetKey> {
    const { cooldownMs = COOLDOWN_MS } = this.#settings;
    if (this.#keys === undefined || performance.now() - this.#failedAt > cooldownMs) {
      this.#failedAt = Number.POSITIVE_INFINITY;
      this.#keys = this.#discover(cooldownMs);
      this.#keys.catch(() => {
        this.#failedAt = performance.now();
      });
    }
    return this.#keys;
  }

  async #discover(cooldownDuration: number): Promise<JWTVerifyGetKey> {
    const { issuer } = this.#settings;
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const answer = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    const { issuer: named, jwks_uri: uri } = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok || named !== issuer || typeof uri !== 'string' || !URL.canParse(uri))
      throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', `${url} does not describe ${issuer}`);
    const timing = { cacheMaxAge: KEYS_LIFE_MS, timeoutDuration: FETCH_TIMEOUT_MS };
    return createRemoteJWKSet(new URL(uri), { ...timing, cooldownDuration });
  }

  #principalOf(payload: JWTPayload): Principal | undefined {
    const { [this.#settings.tenantClaim]: tenant, [this.#settings.scopesClaim]: words } = payload;
    if (typeof tenant !== 'string' || !isTenantName(tenant)) return undefined;
    const keyId = `oidc:${(payload.sub ?? '').slice(0, 128)}`;
    return { kind: 'tenant', keyId, tenant, scopes: scopesOf(words) };
  }

  #ofLiveTenant(principal: Principal): Principal | undefined {
    return this.#directory.tenant(principal.tenant) === undefined ? undefined : principal;
  }
}

/** Words that are no scope of ours are somebody else's. */
function scopesOf(words: unknown): readonly Scope[] {
  const found = typeof words === 'string' ? words.split(' ') : Array.isArray(words) ? words : [];
  return SCOPES.filter((scope) => found.includes(scope));
}

/** Whether verification failed by the token, and not by what its issuer did or did not answer. */
function isOfToken(error: unknown): boolean {
  return (
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  );
}
