import { LIMITS } from './limits.js';

/**
 * Names that become parts of keys, paths and URLs. None of them can hold a separator (`:` `/` `@` `.`), so a
 * name never reaches outside its tenant.
 */
const TENANT_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const FUNCTION_NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9_-]{0,${LIMITS.functionNameLength - 1}}$`);
/** Begins with a letter, so that it is never taken for a version's number. */
const ALIAS_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;
const ENTRYPOINT_NAME = new RegExp(`^[\\x21-\\x7e]{1,${LIMITS.entrypointNameLength}}$`);
/** As function names, and an underscore may come first: the names of environment variables are among them. */
const SECRET_NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
const INVOCATION_ID = /^inv_[0-9a-f]{32}$/;
const BATCH_ID = /^bat_[0-9a-f]{32}$/;
const SHA256_HEX = /^[0-9a-f]{64}$/;

/** Patterns as JSON Schema wants them. */
export const NAME_PATTERNS = {
  tenant: TENANT_NAME.source,
  function: FUNCTION_NAME.source,
  alias: ALIAS_NAME.source,
  entrypoint: ENTRYPOINT_NAME.source,
  secret: SECRET_NAME.source,
  invocationId: INVOCATION_ID.source,
  batchId: BATCH_ID.source,
  sha256: SHA256_HEX.source,
} as const;

export const isTenantName = (text: string): boolean => TENANT_NAME.test(text);
export const isFunctionName = (text: string): boolean => FUNCTION_NAME.test(text);
export const isAliasName = (text: string): boolean => ALIAS_NAME.test(text);
export const isEntrypointName = (text: string): boolean => ENTRYPOINT_NAME.test(text);
export const isInvocationId = (text: string): boolean => INVOCATION_ID.test(text);
export const isSha256Hex = (text: string): boolean => SHA256_HEX.test(text);

/** The newest version that is routable; no alias can have this name. */
export const LATEST = 'latest';
