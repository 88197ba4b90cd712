import type { ParameterType, ReturnType } from '@mayfly/contracts';
import { ParameterType as WireParameterType } from '../generated/parameter-type.js';
import { ParameterValue } from '../generated/parameter-value.js';
import { ReturnType as WireReturnType } from '../generated/return-type.js';
import { ReturnValue } from '../generated/return-value.js';

/** Names of a type on the wire (guest-abi 7.2): in the enum of a signature, and as the tag of a value's union. */
interface WireNames<Enum, Union> {
  readonly declared: Enum;
  readonly tag: Union;
}

/** Bytes travel as `hlvecbytes` in this direction, as `hlsizeprefixedbuffer` in the other. */
export const PARAMETER_WIRE: Readonly<Record<ParameterType, WireNames<WireParameterType, ParameterValue>>> = {
  int: { declared: WireParameterType.hlint, tag: ParameterValue.hlint },
  uint: { declared: WireParameterType.hluint, tag: ParameterValue.hluint },
  long: { declared: WireParameterType.hllong, tag: ParameterValue.hllong },
  ulong: { declared: WireParameterType.hlulong, tag: ParameterValue.hlulong },
  float: { declared: WireParameterType.hlfloat, tag: ParameterValue.hlfloat },
  double: { declared: WireParameterType.hldouble, tag: ParameterValue.hldouble },
  string: { declared: WireParameterType.hlstring, tag: ParameterValue.hlstring },
  bool: { declared: WireParameterType.hlbool, tag: ParameterValue.hlbool },
  bytes: { declared: WireParameterType.hlvecbytes, tag: ParameterValue.hlvecbytes },
};

export const RETURN_WIRE: Readonly<Record<ReturnType, WireNames<WireReturnType, ReturnValue>>> = {
  int: { declared: WireReturnType.hlint, tag: ReturnValue.hlint },
  uint: { declared: WireReturnType.hluint, tag: ReturnValue.hluint },
  long: { declared: WireReturnType.hllong, tag: ReturnValue.hllong },
  ulong: { declared: WireReturnType.hlulong, tag: ReturnValue.hlulong },
  float: { declared: WireReturnType.hlfloat, tag: ReturnValue.hlfloat },
  double: { declared: WireReturnType.hldouble, tag: ReturnValue.hldouble },
  string: { declared: WireReturnType.hlstring, tag: ReturnValue.hlstring },
  bool: { declared: WireReturnType.hlbool, tag: ReturnValue.hlbool },
  void: { declared: WireReturnType.hlvoid, tag: ReturnValue.hlvoid },
  bytes: { declared: WireReturnType.hlsizeprefixedbuffer, tag: ReturnValue.hlsizeprefixedbuffer },
};

function byTag<T extends string>(table: Readonly<Record<T, WireNames<number, number>>>): readonly T[] {
  const types: T[] = [];
  for (const [type, names] of Object.entries(table) as [T, WireNames<number, number>][])
    types[names.tag] = type;
  return types;
}

function byDeclared<T extends string>(table: Readonly<Record<T, WireNames<number, number>>>): readonly T[] {
  const types: T[] = [];
  for (const [type, names] of Object.entries(table) as [T, WireNames<number, number>][])
    types[names.declared] = type;
  return types;
}

/** Union tag → type; a tag without a type is malformed. */
export const PARAMETER_BY_TAG: readonly (ParameterType | undefined)[] = byTag(PARAMETER_WIRE);
export const RETURN_BY_TAG: readonly (ReturnType | undefined)[] = byTag(RETURN_WIRE);
export const RETURN_BY_DECLARED: readonly (ReturnType | undefined)[] = byDeclared(RETURN_WIRE);
