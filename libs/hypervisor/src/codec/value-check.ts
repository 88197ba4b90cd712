import type { ReturnType, TypedValue } from '@mayfly/contracts';

const INT_RANGES = { int: [-(2 ** 31), 2 ** 31 - 1], uint: [0, 2 ** 32 - 1] } as const;
const LONG_RANGES = { long: [-(2n ** 63n), 2n ** 63n - 1n], ulong: [0n, 2n ** 64n - 1n] } as const;

/**
 * Whether a JavaScript value is one of the type: `number` for int, uint, float, double; `bigint` for long, ulong;
 * boolean, string, Uint8Array; `undefined` for void.
 *
 * @returns what was expected, or `undefined` when the value fits.
 */
export function valueProblem(type: ReturnType, value: unknown): string | undefined {
  switch (type) {
    case 'int':
    case 'uint': {
      const [lowest, highest] = INT_RANGES[type];
      return Number.isInteger(value) && (value as number) >= lowest && (value as number) <= highest
        ? undefined
        : `expected an integer from ${lowest} to ${highest}`;
    }
    case 'long':
    case 'ulong': {
      const [lowest, highest] = LONG_RANGES[type];
      return typeof value === 'bigint' && value >= lowest && value <= highest
        ? undefined
        : `expected a bigint from ${lowest} to ${highest}`;
    }
    case 'float':
    case 'double':
      return typeof value === 'number' ? undefined : 'expected a number';
    case 'bool':
      return typeof value === 'boolean' ? undefined : 'expected a boolean';
    case 'string':
      return typeof value === 'string' && isWellFormed(value)
        ? undefined
        : 'expected a string of well-formed Unicode';
    case 'bytes':
      return value instanceof Uint8Array ? undefined : 'expected a Uint8Array';
    case 'void':
      return value === undefined ? undefined : 'expected undefined';
    default:
      return 'expected a type of the guest ABI';
  }
}

/** Puts a checked value and its type together. */
export function typedValue(type: ReturnType, value: unknown): TypedValue {
  return (type === 'void' ? { type } : { type, value }) as TypedValue;
}

/** A lone surrogate has no UTF-8 form. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
