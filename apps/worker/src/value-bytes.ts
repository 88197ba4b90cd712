import type { InvocationInput, JsonValue, TypedValue } from '@mayfly/contracts';

const NUMBER_BYTES = { int: 4, uint: 4, float: 4, long: 8, ulong: 8, double: 8, bool: 1, void: 0 } as const;

/** What a value weighs in the guest: strings as UTF-8. */
export function bytesOfValue(value: TypedValue | undefined): number {
  if (value === undefined) return 0;
  return value.type === 'string' || value.type === 'bytes'
    ? Buffer.byteLength(value.value)
    : NUMBER_BYTES[value.type];
}

/** The same of an input as a job carries it; arguments in a blob count as the JSON that they are there. */
export function bytesOfInput(input: InvocationInput): number {
  switch (input.kind) {
    case 'args':
      return input.args.reduce((sum, argument) => sum + bytesOfArgument(argument), 0);
    case 'body':
      return Buffer.byteLength(input.base64, 'base64');
    case 'blob':
      return input.lengthBytes;
  }
}

function bytesOfArgument({ type, value }: JsonValue): number {
  if (type !== 'string' && type !== 'bytes') return NUMBER_BYTES[type];
  return typeof value === 'string' ? Buffer.byteLength(value, type === 'bytes' ? 'base64' : 'utf8') : 0;
}
