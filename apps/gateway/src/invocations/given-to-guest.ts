import type { FunctionSettings } from '@mayfly/contracts';
import type { SecretGrants } from '../secrets/secret-grants.js';
import type { GivenToGuest } from './call.js';

/**
 * What a call of a function with these settings gives its guest; a promise only where the tenant's secrets are not in
 * memory. Undefined for nothing.
 * @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE
 */
export function givenToGuest(
  grants: SecretGrants,
  tenant: string,
  settings: Pick<FunctionSettings, 'env' | 'secrets'>,
): GivenToGuest | undefined | Promise<GivenToGuest> {
  const granted = grants.of(tenant, settings.secrets);
  if (granted instanceof Promise) return granted.then((secrets) => given(settings, secrets));
  return granted === undefined && Object.keys(settings.env).length === 0
    ? undefined
    : given(settings, granted);
}

function given({ env }: Pick<FunctionSettings, 'env'>, secrets: GivenToGuest['secrets']): GivenToGuest {
  return { ...(Object.keys(env).length > 0 && { env }), ...(secrets && { secrets }) };
}
