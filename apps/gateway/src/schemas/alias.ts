import { ALIAS_LIMITS } from '@mayfly/contracts';
import { type Static, Type } from 'typebox';
import { AliasName, FunctionName, Strict, VersionNumber } from './shared.js';

const Weights = Type.Record(
  Type.String({ pattern: '^[1-9][0-9]{0,14}$' }),
  Type.Integer({ minimum: 0, maximum: ALIAS_LIMITS.weight }),
  {
    additionalProperties: false,
    minProperties: 1,
    maxProperties: ALIAS_LIMITS.versions,
    description: 'Version number → share of the calls; the shares need not add up to anything',
  },
);
const Rollback = Strict(
  {
    errorRate: Type.Number({
      minimum: 0,
      exclusiveMaximum: 1,
      description: 'Share of ended calls that may fail',
    }),
    minRequests: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    windowS: Type.Integer({ minimum: 1, maximum: ALIAS_LIMITS.windowS }),
  },
  { description: 'When the version that was added last loses its weight by itself' },
);

export const AliasInput = Strict({
  weights: Weights,
  sticky: Type.Optional(
    Type.String({
      pattern: '^header:[A-Za-z0-9][A-Za-z0-9_-]{0,63}$',
      description: 'header:{name}: the same value gets the same version',
    }),
  ),
  rollback: Type.Optional(Rollback),
});
export type AliasInput = Static<typeof AliasInput>;

export const AliasSchema = Type.Object({
  function: FunctionName,
  alias: AliasName,
  weights: Type.Record(Type.String(), Type.Integer()),
  sticky: Type.Optional(Type.String()),
  rollback: Type.Optional(Rollback),
  newest: VersionNumber,
  etag: Type.String(),
  updatedAtMs: Type.Integer(),
  rolledBack: Type.Optional(
    Type.Object(
      {
        atMs: Type.Integer(),
        version: VersionNumber,
        requests: Type.Integer(),
        errors: Type.Integer(),
      },
      { description: 'The roll-back that ended in these weights' },
    ),
  ),
});

export const AliasList = Type.Object({ items: Type.Array(AliasSchema) });
