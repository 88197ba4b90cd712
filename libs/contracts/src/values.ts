/**
 * Typed values as the API writes them (JSON) and as jobs carry them. The nine parameter types and the return
 * types of the guest ABI (guest-abi 7.2): `void` is a return type only.
 */
export const PARAMETER_TYPES = [
  'int',
  'uint',
  'long',
  'ulong',
  'float',
  'double',
  'bool',
  'string',
  'bytes',
] as const;
export type ParameterType = (typeof PARAMETER_TYPES)[number];
export const RETURN_TYPES = [...PARAMETER_TYPES, 'void'] as const;
export type ReturnType = (typeof RETURN_TYPES)[number];

/**
 * One value in JavaScript: int/uint/float/double are `number`, long/ulong are `bigint`, bytes are `Uint8Array`.
 */
export type TypedValue =
  | { readonly type: 'int' | 'uint' | 'float' | 'double'; readonly value: number }
  | { readonly type: 'long' | 'ulong'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'bytes'; readonly value: Uint8Array }
  | { readonly type: 'void' };

/**
 * The same value as JSON: 64-bit integers are a number when it is exact, else a decimal string; non-finite
 * numbers are the strings `NaN`, `Infinity`, `-Infinity`; bytes are base64.
 */
export interface JsonValue {
  readonly type: ReturnType;
  readonly value?: number | string | boolean;
}

const INTEGER_RANGES = {
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  uint: [0n, 2n ** 32n - 1n],
  long: [-(2n ** 63n), 2n ** 63n - 1n],
  ulong: [0n, 2n ** 64n - 1n],
} as const;

const NON_FINITE: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export type ParseResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly detail: string };

const bad = (detail: string) => ({ ok: false, detail }) as const;

/** Reads one JSON value as the given type. Never throws: `detail` says what was expected. */
export function parseJsonValue(type: ReturnType, raw: unknown): ParseResult<TypedValue> {
  switch (type) {
    case 'int':
    case 'uint':
    case 'long':
    case 'ulong':
      return parseInteger(type, raw);
    case 'float':
    case 'double': {
      const value = typeof raw === 'number' ? raw : typeof raw === 'string' ? NON_FINITE.get(raw) : undefined;
      if (value === undefined) return bad(`expected a number or "NaN", "Infinity", "-Infinity" for ${type}`);
      const kept = type === 'float' ? Math.fround(value) : value;
      if (Number.isFinite(value) && !Number.isFinite(kept))
        return bad('expected a number that a float can hold');
      return { ok: true, value: { type, value: kept } };
    }
    case 'bool':
      return typeof raw === 'boolean'
        ? { ok: true, value: { type, value: raw } }
        : bad('expected true or false');
    case 'string':
      if (typeof raw !== 'string') return bad('expected a string');
      // A lone surrogate has no UTF-8 form, and the guest ABI carries UTF-8.
      return isWellFormed(raw)
        ? { ok: true, value: { type, value: raw } }
        : bad('expected well-formed Unicode');
    case 'bytes':
      if (typeof raw !== 'string' || !BASE64.test(raw)) return bad('expected bytes in base64');
      return { ok: true, value: { type, value: Buffer.from(raw, 'base64') } };
    case 'void':
      return raw === undefined || raw === null
        ? { ok: true, value: { type } }
        : bad('expected no value for void');
  }
}

function parseInteger(type: keyof typeof INTEGER_RANGES, raw: unknown): ParseResult<TypedValue> {
  const wide = type === 'long' || type === 'ulong';
  let value: bigint;
  if (typeof raw === 'number' && Number.isSafeInteger(raw)) value = BigInt(raw);
  else if (wide && typeof raw === 'string' && /^-?\d{1,20}$/.test(raw)) value = BigInt(raw);
  else return bad(`expected an integer${wide ? ' or a decimal string' : ''} for ${type}`);
  const [lowest, highest] = INTEGER_RANGES[type];
  if (value < lowest || value > highest) return bad(`expected ${lowest} to ${highest} for ${type}`);
  return {
    ok: true,
    value: wide ? { type: type as 'long', value } : { type: type as 'int', value: Number(value) },
  };
}

function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

/** Writes a value as JSON, the inverse of `parseJsonValue`. */
export function toJsonValue(value: TypedValue): JsonValue {
  switch (value.type) {
    case 'void':
      return { type: 'void' };
    case 'long':
    case 'ulong': {
      const exact =
        value.value >= BigInt(Number.MIN_SAFE_INTEGER) && value.value <= BigInt(Number.MAX_SAFE_INTEGER);
      return { type: value.type, value: exact ? Number(value.value) : value.value.toString() };
    }
    case 'float':
    case 'double':
      return { type: value.type, value: Number.isFinite(value.value) ? value.value : String(value.value) };
    case 'bytes':
      return {
        type: 'bytes',
        value: Buffer.from(value.value.buffer, value.value.byteOffset, value.value.byteLength).toString(
          'base64',
        ),
      };
    default:
      return { type: value.type, value: value.value };
  }
}
