import { LIMITS, NAME_PATTERNS, OUTCOMES } from '@mayfly/contracts';
import { type Static, Type } from 'typebox';
import { FunctionName, Strict, TimeoutMs, Words } from './shared.js';

const DAY_MS = 24 * 3_600_000;
/** Of the names and values of all environment variables together. */
export const ENV_BYTES = 16 * 1024;
/** Ends that a guest is answerable for. */
const GUEST_OUTCOMES = (Object.keys(OUTCOMES) as (keyof typeof OUTCOMES)[]).filter(
  (outcome) => OUTCOMES[outcome].origin === 'guest' && outcome !== 'succeeded',
);

const Count = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum });

const RetryInput = Strict({
  attempts: Type.Optional(Count(1, 20)),
  minBackoffMs: Type.Optional(Count(1, DAY_MS)),
  maxBackoffMs: Type.Optional(Count(1, DAY_MS)),
  maxAgeMs: Type.Optional(Count(1_000, 7 * DAY_MS)),
  retryOn: Type.Optional(Type.Array(Words(GUEST_OUTCOMES), { maxItems: GUEST_OUTCOMES.length })),
});

/** Body of `PUT …/config`: what is left out has its default. */
export const SettingsInput = Strict({
  timeoutMs: Type.Optional(TimeoutMs),
  memoryBytes: Type.Optional(Count(1024 * 1024, LIMITS.guestMemoryBytes)),
  concurrency: Type.Optional(
    Strict({ max: Type.Optional(Count(1, 1_000_000)), reserved: Type.Optional(Count(0, 1_000_000)) }),
  ),
  storeResult: Type.Optional(Words(['always', 'on-failure', 'never'])),
  resultRetentionMs: Type.Optional(Count(1_000, LIMITS.recordRetentionMs)),
  onDisconnect: Type.Optional(Words(['cancel', 'detach'])),
  requireIdempotencyKey: Type.Optional(Type.Boolean()),
  retry: Type.Optional(RetryInput),
  env: Type.Optional(
    Type.Record(
      Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }),
      Type.String({ maxLength: 4_096 }),
      {
        additionalProperties: false,
        description: 'Shown to the guest; not secret',
      },
    ),
  ),
  secrets: Type.Optional(
    Type.Array(Type.String({ pattern: NAME_PATTERNS.secret }), {
      maxItems: 64,
      uniqueItems: true,
      description: "Names of the tenant's secrets that the function may read",
    }),
  ),
});
export type SettingsInput = Static<typeof SettingsInput>;

export const SettingsSchema = Type.Object({
  function: FunctionName,
  timeoutMs: Type.Optional(Type.Integer({ description: "Ceiling of a call; absent: the tenant's" })),
  memoryBytes: Type.Optional(Type.Integer({ description: "Ceiling of a version; absent: the tenant's" })),
  concurrency: Type.Object({ max: Type.Optional(Type.Integer()), reserved: Type.Integer() }),
  storeResult: Type.String(),
  resultRetentionMs: Type.Integer(),
  onDisconnect: Type.String(),
  requireIdempotencyKey: Type.Boolean(),
  retry: Type.Object({
    attempts: Type.Integer(),
    minBackoffMs: Type.Integer(),
    maxBackoffMs: Type.Integer(),
    maxAgeMs: Type.Integer(),
    retryOn: Type.Array(Type.String()),
  }),
  env: Type.Record(Type.String(), Type.String()),
  secrets: Type.Array(Type.String()),
});
