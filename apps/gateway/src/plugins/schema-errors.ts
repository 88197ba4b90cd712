import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import type { RequestFault } from '../errors.js';

/**
 * Turns what the validator reports into one fault that helps: the deepest one, since a value that fits no branch of a
 * union is reported once per branch and once for the union.
 */
export function formatSchemaErrors(errors: FastifySchemaValidationError[], part: string): Error {
  const [first, ...others] = errors;
  let best = first;
  for (const error of others) if (best === undefined || rank(error) > rank(best)) best = error;
  const fault = best === undefined ? { pointer: '', detail: 'not valid' } : faultOf(best, part);
  return Object.assign(new TypeError(`${fault.pointer} ${fault.detail}`), { faults: [fault] });
}

interface ValidatorParams {
  readonly missingProperty?: string;
  readonly additionalProperty?: string;
  readonly allowedValues?: readonly string[];
}

const SPECIFIC = ['required', 'additionalProperties', 'enum', 'pattern', 'maximum', 'minimum'];

function rank(error: FastifySchemaValidationError): number {
  const depth = error.instancePath.split('/').length * 10;
  if (SPECIFIC.includes(error.keyword)) return depth + 2;
  return error.keyword === 'anyOf' ? depth + 1 : depth;
}

function faultOf(error: FastifySchemaValidationError, part: string): RequestFault {
  const { keyword, instancePath } = error;
  const params: ValidatorParams = error.params;
  const inBody = part === 'body';
  const at = (path: string) => (inBody ? path : `#${path.replace(/^\//, '')}`);
  if (keyword === 'required')
    return { pointer: at(`${instancePath}/${params.missingProperty}`), detail: 'required' };
  if (keyword === 'additionalProperties') {
    const name = String(params.additionalProperty).slice(0, 64);
    return { pointer: at(`${instancePath}/${name}`), detail: 'there is no such field' };
  }
  if (keyword === 'enum')
    return {
      pointer: at(instancePath),
      detail: `expected one of ${(params.allowedValues ?? []).join(', ')}`,
    };
  if (keyword === 'anyOf') return { pointer: at(instancePath), detail: 'has no form that is taken here' };
  return { pointer: at(instancePath), detail: error.message ?? 'not valid' };
}
