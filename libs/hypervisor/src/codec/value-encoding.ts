import type { TypedValue } from '@mayfly/contracts';
import type { Builder, Offset } from 'flatbuffers';
import { hlbool } from '../generated/hlbool.js';
import { hldouble } from '../generated/hldouble.js';
import { hlfloat } from '../generated/hlfloat.js';
import { hlint } from '../generated/hlint.js';
import { hllong } from '../generated/hllong.js';
import { hlsizeprefixedbuffer } from '../generated/hlsizeprefixedbuffer.js';
import { hlstring } from '../generated/hlstring.js';
import { hluint } from '../generated/hluint.js';
import { hlulong } from '../generated/hlulong.js';
import { hlvecbytes } from '../generated/hlvecbytes.js';
import { hlvoid } from '../generated/hlvoid.js';

/** Writes the wrapper table of a value (guest-abi 7.1). The value was checked by `valueProblem`. */
export function encodeValue(builder: Builder, value: TypedValue, as: 'parameter' | 'return'): Offset {
  switch (value.type) {
    case 'int':
      return hlint.createhlint(builder, value.value);
    case 'uint':
      return hluint.createhluint(builder, value.value);
    case 'long':
      return hllong.createhllong(builder, value.value);
    case 'ulong':
      return hlulong.createhlulong(builder, value.value);
    case 'float':
      return withNegativeZero(builder, value.value, () => hlfloat.createhlfloat(builder, value.value));
    case 'double':
      return withNegativeZero(builder, value.value, () => hldouble.createhldouble(builder, value.value));
    case 'bool':
      return hlbool.createhlbool(builder, value.value);
    case 'string':
      return hlstring.createhlstring(builder, builder.createString(value.value));
    case 'bytes': {
      const bytes = builder.createByteVector(value.value);
      return as === 'parameter'
        ? hlvecbytes.createhlvecbytes(builder, bytes)
        : hlsizeprefixedbuffer.createhlsizeprefixedbuffer(builder, value.value.byteLength, bytes);
    }
    case 'void':
      hlvoid.starthlvoid(builder);
      return hlvoid.endhlvoid(builder);
  }
}

/** -0.0 equals the default, so that a builder leaves it out and it reads back as +0.0, unless told otherwise. */
function withNegativeZero(builder: Builder, value: number, encode: () => Offset): Offset {
  if (!Object.is(value, -0)) return encode();
  builder.forceDefaults(true);
  const offset = encode();
  builder.forceDefaults(false);
  return offset;
}
