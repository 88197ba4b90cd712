import type { GatewayConfig } from '../config.js';
import type { Authenticator } from '../plugins/auth.js';
import { ApiKeys } from './api-keys.js';
import { isJwt, OidcTokens } from './oidc-tokens.js';
import type { TenantDirectory } from './tenant-directory.js';

/** Keys of ours and, where an issuer is set, its tokens; the text tells which of both it is. */
export function authenticatorOf(config: GatewayConfig, directory: TenantDirectory): Authenticator {
  const apiKeys = new ApiKeys(directory, config);
  const { oidcIssuer, oidcAudience, oidcTenantClaim, oidcScopesClaim } = config;
  if (oidcIssuer === undefined || oidcAudience === undefined) return apiKeys;
  const tokens = new OidcTokens(
    {
      ...{ issuer: oidcIssuer, audience: oidcAudience },
      ...{ tenantClaim: oidcTenantClaim, scopesClaim: oidcScopesClaim },
    },
    directory,
  );
  return { identify: (token) => (isJwt(token) ? tokens : apiKeys).identify(token) };
}
