import { type JsonValue, PARAMETER_TYPES, type ParameterType, parseJsonValue } from '@mayfly/contracts';
import { invalidRequest, type RequestFault } from '../errors.js';

/** An argument that names its type; the schema lets through only objects of this shape. */
export interface TypedArgument {
  readonly type: ParameterType;
  readonly value: number | string | boolean;
}

export type Argument = TypedArgument | number | string | boolean;

export const isTyped = (argument: Argument): argument is TypedArgument => typeof argument === 'object';

/**
 * Checks the arguments of a call against its signature, when there is one; without one each has to name its type.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST with one entry per argument that does not fit
 */
export function parseArguments(
  args: readonly Argument[],
  params: readonly ParameterType[] | undefined,
): JsonValue[] {
  const faults: RequestFault[] = [];
  if (params !== undefined && args.length !== params.length)
    throw invalidRequest({
      pointer: '/args',
      detail: `expected ${params.length} arguments (${params.join(', ')}), got ${args.length}`,
    });
  const values = args.map((argument, index): JsonValue => {
    const pointer = `/args/${index}`;
    const parsed = readArgument(argument, params?.[index], pointer);
    if (!('type' in parsed)) faults.push(parsed);
    return 'type' in parsed ? parsed : { type: 'void' };
  });
  if (faults.length > 0) throw invalidRequest(...faults);
  return values;
}

function readArgument(
  argument: Argument,
  expected: ParameterType | undefined,
  pointer: string,
): JsonValue | RequestFault {
  const typed = isTyped(argument);
  const type = typed ? argument.type : expected;
  if (type === undefined)
    return {
      pointer,
      detail: `expected {"type": ${PARAMETER_TYPES.join(' | ')}, "value"}: no signature is known`,
    };
  if (expected !== undefined && type !== expected)
    return { pointer: `${pointer}/type`, detail: `expected ${expected} as the manifest says` };
  const value = typed ? argument.value : argument;
  const parsed = parseJsonValue(type, value);
  return parsed.ok
    ? { type, value }
    : { pointer: typed ? `${pointer}/value` : pointer, detail: parsed.detail };
}
