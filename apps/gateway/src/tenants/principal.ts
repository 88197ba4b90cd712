import type { Scope } from '@mayfly/contracts';

/** Who makes a request: what its key or token stands for. */
export interface Principal {
  readonly kind: 'operator' | 'tenant';
  /** Names the key in the audit log; `bootstrap` for `MAYFLY_TENANT_KEY`, `oidc:<subject>` for a token. */
  readonly keyId: string;
  /** Empty for an operator. */
  readonly tenant: string;
  readonly scopes: readonly Scope[];
  /** Functions that the key may touch: a name, or the beginning of names followed by `*`. Absent: all. */
  readonly functionPattern?: string;
}

/** What a function-name pattern may look like. */
export const FUNCTION_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\\*?$';

export function matchesPattern(pattern: string | undefined, functionName: string): boolean {
  if (pattern === undefined) return true;
  return pattern.endsWith('*') ? functionName.startsWith(pattern.slice(0, -1)) : functionName === pattern;
}
