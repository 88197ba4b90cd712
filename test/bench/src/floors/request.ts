/** The body that every contender takes and the answer it gives: Mayfly's own envelope for one string argument. */
export interface EchoRequest {
  readonly function: string;
  readonly entrypoint: string;
  readonly args: readonly { readonly type: 'string'; readonly value: string }[];
  readonly returns: 'string';
}

const value = {
  type: 'object',
  required: ['type', 'value'],
  properties: { type: { type: 'string' }, value: { type: 'string' } },
} as const;

export const schema = {
  body: {
    type: 'object',
    required: ['function', 'entrypoint', 'args'],
    properties: {
      function: { type: 'string' },
      entrypoint: { type: 'string' },
      args: { type: 'array', items: value },
      returns: { type: 'string' },
    },
  },
  response: { 200: { type: 'object', properties: { result: value } } },
} as const;
