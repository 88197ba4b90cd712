import { KVM_KINDS, LIMITS, NAME_PATTERNS, SCOPES, type TenantQuotas } from '@mayfly/contracts';
import { Type } from 'typebox';
import { FUNCTION_PATTERN } from '../tenants/principal.js';
import { Strict, Words } from './shared.js';

export const TenantName = Type.String({ pattern: NAME_PATTERNS.tenant, description: 'a-z, 0-9 and -' });
export const TenantParams = Strict({ tenant: TenantName });
const KeyId = Type.String({ pattern: '^[0-9a-f]{12}$' });
export const TenantKeyParams = Strict({ tenant: TenantName, key: KeyId });
export const OperatorKeyParams = Strict({ key: KeyId });

const MOST = Number.MAX_SAFE_INTEGER;
const count = (description: string, maximum: number = MOST) =>
  Type.Integer({ minimum: 1, maximum, description });

const QUOTAS = {
  ratePerS: count('Invocations admitted a second, on average', 10_000_000),
  burst: count('Invocations admitted at once above that', 10_000_000),
  maxInFlight: count('Sync calls that have not ended', 10_000_000),
  maxRunning: count('Calls that run at once; more wait', 10_000_000),
  maxQueued: count('Calls that wait for their turn', 100_000_000),
  maxQueuedBytes: count('Bytes of inputs that wait'),
  maxFunctions: count('Functions'),
  maxVersions: count('Versions of one function'),
  maxStoredBytes: count('Bytes of the artifacts of all versions'),
  maxTimeoutMs: count('Guest time of one call', LIMITS.timeoutMs),
  maxMemoryBytes: count('Guest memory of one version', LIMITS.guestMemoryBytes),
  weight: count('Share of the hosts when several tenants want them', 1_000),
} satisfies { readonly [K in keyof TenantQuotas]: unknown };

/** All of them, as they hold. */
export const QuotasSchema = Type.Object(QUOTAS);
/** What differs from the defaults. */
export const QuotasBody = Type.Partial(QuotasSchema, { additionalProperties: false });

const RequiresKvm = Words(['any', ...KVM_KINDS] as const, 'The kind of KVM that may run the tenant’s code');
const CallbackHosts = Type.Array(
  Type.String({ maxLength: 253, pattern: '^(?:\\*\\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$' }),
  {
    maxItems: 100,
    uniqueItems: true,
    description: 'Hosts that completion callbacks may go to: a name, or *. and a domain',
  },
);
export const PolicySchema = Strict({ requiresKvm: RequiresKvm, callbackHosts: CallbackHosts });

export const NewTenantBody = Strict({
  name: TenantName,
  quotas: Type.Optional(QuotasBody),
  requiresKvm: Type.Optional(RequiresKvm),
  callbackHosts: Type.Optional(CallbackHosts),
});
export const TenantSchema = Type.Object({
  name: TenantName,
  createdAtMs: Type.Integer(),
  paused: Type.Boolean({ description: 'Its calls wait, and none begins' }),
  policy: PolicySchema,
  quotas: QuotasSchema,
});
export const TenantPage = Type.Object({
  items: Type.Array(TenantSchema),
  nextCursor: Type.Optional(Type.String()),
});
export const RemoveQuery = Strict({
  force: Type.Optional(Words(['true', 'false'], 'Deletes its functions, too')),
});

const Scopes = Type.Array(Words(SCOPES), { minItems: 1, uniqueItems: true });
const FunctionPattern = Type.String({
  pattern: FUNCTION_PATTERN,
  description: 'A function’s name, or how names begin, then *; absent: all functions',
});
const Label = Type.String({ minLength: 1, maxLength: 100 });
export const NewKeyBody = Strict({
  scopes: Scopes,
  functionPattern: Type.Optional(FunctionPattern),
  label: Type.Optional(Label),
  expiresInS: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 315_360_000, description: 'Absent: valid until it is revoked' }),
  ),
});
export const NewOperatorKeyBody = Strict({
  label: NewKeyBody.properties.label,
  expiresInS: NewKeyBody.properties.expiresInS,
});
export const RotateBody = Strict({
  overlapS: Type.Integer({
    minimum: 0,
    maximum: 2_592_000,
    description: 'Seconds for which the old key is valid, too',
  }),
});
const KEY_VIEW = {
  id: KeyId,
  scopes: Type.Array(Words(SCOPES)),
  functionPattern: Type.Optional(FunctionPattern),
  label: Type.Optional(Label),
  createdAtMs: Type.Integer(),
  expiresAtMs: Type.Optional(Type.Integer()),
  replacedBy: Type.Optional(KeyId),
};
export const KeySchema = Type.Object(KEY_VIEW);
export const MadeKeySchema = Type.Object({
  ...KEY_VIEW,
  key: Type.String({ description: 'Shown this once, and kept nowhere' }),
});
export const KeyList = Type.Object({ items: Type.Array(KeySchema) });
