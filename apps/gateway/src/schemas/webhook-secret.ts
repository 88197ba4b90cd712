import { Type } from 'typebox';
import { Strict } from './shared.js';

const DAY_MS = 24 * 3_600_000;
export const DEFAULT_OVERLAP_MS = DAY_MS;

export const RotateBody = Strict({
  overlapMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 30 * DAY_MS,
      description: `How long the secret before signs, too; absent: ${DEFAULT_OVERLAP_MS}`,
    }),
  ),
});

const facts = {
  version: Type.Integer(),
  createdAtMs: Type.Integer(),
  previousUntilMs: Type.Optional(Type.Integer({ description: 'Until when the one before signs, too' })),
};
export const WebhookSecretSchema = Type.Object(facts);
export const NewWebhookSecret = Type.Object({
  secret: Type.String({ description: 'whsec_ and base64, as Standard Webhooks has it; shown this once' }),
  ...facts,
});

export const CallbackSchema = Type.Object(
  {
    state: Type.String({ description: 'pending, delivered or failed' }),
    attempts: Type.Integer({ description: 'Made or under way' }),
    lastAtMs: Type.Optional(Type.Integer()),
    lastStatus: Type.Optional(Type.Integer({ description: 'HTTP status that the receiver answered' })),
    lastError: Type.Optional(
      Type.String({
        description:
          'status, host, port, address, dns, connect, tls, timeout, http, no-secret, gone or platform',
      }),
    ),
    nextAtMs: Type.Optional(Type.Integer()),
  },
  { description: 'What became of its completion callback' },
);
