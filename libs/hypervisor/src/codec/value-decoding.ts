import type { ReturnType, TypedValue } from '@mayfly/contracts';
import type { FlatReader, FlatTable } from './flat-reader.js';

const BYTES_FIELD = { parameter: 0, return: 1 } as const;

/** Reads the wrapper table of a value (guest-abi 7.1). Bytes are a view of the reader's buffer. */
export function decodeValue(
  reader: FlatReader,
  table: FlatTable,
  type: ReturnType,
  as: 'parameter' | 'return',
): TypedValue {
  switch (type) {
    case 'int':
      return { type, value: reader.int32(table, 0) };
    case 'uint':
      return { type, value: reader.uint32(table, 0) };
    case 'long':
      return { type, value: reader.int64(table, 0) };
    case 'ulong':
      return { type, value: reader.uint64(table, 0) };
    case 'float':
      return { type, value: reader.float32(table, 0) };
    case 'double':
      return { type, value: reader.float64(table, 0) };
    case 'bool':
      return { type, value: reader.uint8(table, 0) !== 0 };
    case 'string':
      return { type, value: reader.string(table, 0) ?? '' };
    case 'bytes':
      // The size field of a size-prefixed buffer is ignored, as readers of the ABI do (guest-abi 7.1).
      return { type, value: reader.bytes(table, BYTES_FIELD[as]) };
    case 'void':
      return { type };
  }
}
