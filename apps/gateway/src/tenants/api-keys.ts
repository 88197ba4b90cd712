import { hash, timingSafeEqual } from 'node:crypto';
import { SCOPES } from '@mayfly/contracts';
import type { Authenticator } from '../plugins/auth.js';
import { keyIdOf } from './key-text.js';
import type { Principal } from './principal.js';
import type { KeyEntry, TenantDirectory } from './tenant-directory.js';

/** The key that the environment names (`MAYFLY_TENANT_KEY`); it may do everything for its tenant. */
export interface BootstrapKey {
  readonly tenant: string;
  readonly tenantKey: string | undefined;
}

const NO_HASH = Buffer.alloc(32);

/**
 * Keys against the directory's copy. What is compared are hashes, in constant time, so that neither length nor content
 * of the right one shows in the time it takes. A copy that has not been confirmed for a second is confirmed first:
 * a revoked key is taken no longer than that, and where Redis is away nobody is let in, since nothing works there.
 */
export class ApiKeys implements Authenticator {
  readonly #directory: TenantDirectory;
  readonly #bootstrap: { readonly hash: Buffer; readonly principal: Principal } | undefined;

  constructor(directory: TenantDirectory, { tenant, tenantKey }: BootstrapKey) {
    this.#directory = directory;
    this.#bootstrap =
      tenantKey === undefined
        ? undefined
        : {
            hash: hash('sha256', tenantKey, 'buffer'),
            principal: { kind: 'tenant', keyId: 'bootstrap', tenant, scopes: SCOPES },
          };
  }

  identify(token: string): Principal | undefined | Promise<Principal | undefined> {
    if (this.#directory.isFresh) return this.#check(token);
    return this.#directory.refresh().then(() => this.#check(token));
  }

  #check(token: string): Principal | undefined {
    const shown = hash('sha256', token, 'buffer');
    const id = keyIdOf(token);
    const entry = id === undefined ? undefined : this.#directory.key(id);
    const isKey = timingSafeEqual(shown, entry?.hash ?? NO_HASH);
    const isBootstrap = timingSafeEqual(shown, this.#bootstrap?.hash ?? NO_HASH);
    if (isKey && entry !== undefined) return this.#principalOf(entry);
    const principal = this.#bootstrap?.principal;
    return isBootstrap && principal && this.#directory.tenant(principal.tenant) ? principal : undefined;
  }

  #principalOf({ key }: KeyEntry): Principal | undefined {
    const { id, kind, tenant, scopes, functionPattern, expiresAtMs } = key;
    if (expiresAtMs !== undefined && Date.now() >= expiresAtMs) return undefined;
    if (kind === 'tenant' && this.#directory.tenant(tenant) === undefined) return undefined;
    return { kind, keyId: id, tenant, scopes, ...(functionPattern !== undefined && { functionPattern }) };
  }
}
