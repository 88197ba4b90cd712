import type { HostCallContext, HostFunctionEntry, HostFunctionTable } from '@mayfly/hypervisor';
import { workerError } from '../errors.js';
import type { CallContext } from '../pool/guest-image.js';
import type { GrantedSecrets } from './granted-secrets.js';

/**
 * The host functions that every guest is offered, beside `HostPrint` of the library. Each answers for the call that asks
 * and for no other; while a version is initialised there is no call, and what such a guest learned would be in its
 * snapshot, so all of them refuse then. What they refuse is guest error 17, with the text.
 */
export function hostFunctions(secrets: Pick<GrantedSecrets, 'read'>): HostFunctionTable {
  return new Map<string, HostFunctionEntry>([
    [
      'GetInvocationId',
      { signature: { params: [], returns: 'string' }, handler: (ctx) => callOf(ctx).invocationId },
    ],
    ['GetAttempt', { signature: { params: [], returns: 'int' }, handler: (ctx) => callOf(ctx).attempt }],
    [
      'GetEnv',
      {
        signature: { params: ['string'], returns: 'string' },
        handler: (ctx, name) => envOf(callOf(ctx), name as string),
      },
    ],
    [
      'GetSecret',
      {
        signature: { params: ['string'], returns: 'bytes' },
        handler: (ctx, name) => secretOf(callOf(ctx), name as string, secrets),
      },
    ],
  ]);
}

function callOf({ call }: HostCallContext): CallContext {
  if (call === undefined) throw refused('not while the function is initialised: a snapshot would keep it');
  return call as CallContext;
}

function envOf({ env = {} }: CallContext, name: string): string {
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (value === undefined) throw refused(`there is no environment value ${shown(name)}`);
  return value;
}

function secretOf(
  { tenant, secrets = {} }: CallContext,
  name: string,
  granted: Pick<GrantedSecrets, 'read'>,
): Buffer | Promise<Buffer> {
  const version = Object.hasOwn(secrets, name) ? secrets[name] : undefined;
  if (version === undefined)
    throw refused(`the secret ${shown(name)} is not granted to the function, or there is none`);
  return granted.read({ tenant, name, version });
}

function refused(message: string) {
  return workerError('MAYFLY_ERR_GUEST_REQUEST', message);
}

/** A name that a guest chose, within bounds. */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
