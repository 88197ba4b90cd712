import { LIMITS, NAME_PATTERNS } from '@mayfly/contracts';
import { Type } from 'typebox';
import { Strict } from './shared.js';

export const SecretName = Type.String({
  pattern: NAME_PATTERNS.secret,
  description: 'Letters, digits, - and _',
});
export const SecretParams = Strict({ name: SecretName });
export const SecretVersionParams = Strict({
  name: SecretName,
  version: Type.String({ pattern: '^[1-9][0-9]{0,14}$' }),
});

/** One of both; the lengths bound what is parsed, the limit counts bytes. */
export const SecretBody = Strict({
  value: Type.Optional(Type.String({ maxLength: LIMITS.secretBytes, description: 'Text, kept as UTF-8' })),
  base64: Type.Optional(
    Type.String({ maxLength: Math.ceil(LIMITS.secretBytes / 3) * 4, description: 'Bytes, in its place' }),
  ),
});

const SecretVersion = Type.Object({ version: Type.Integer(), createdAtMs: Type.Integer() });
export const PutSecret = Type.Object({
  name: Type.String(),
  version: Type.Integer(),
  createdAtMs: Type.Integer(),
});
export const SecretSchema = Type.Object({
  name: Type.String(),
  versions: Type.Array(SecretVersion, { description: 'Oldest first; calls get the last one' }),
});
export const SecretList = Type.Object({ items: Type.Array(SecretSchema) });
