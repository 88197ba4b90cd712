import { type Alias, LATEST } from '@mayfly/contracts';
import { invalidRequest } from '../errors.js';
import type { AliasInput } from '../schemas/alias.js';

/** Headers that an alias must not go by: they hold what nobody but us shall decide by. */
const UNSUITED = ['authorization', 'cookie', 'proxy-authorization'];
const STICKY_PREFIX = 'header:';

/** @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST */
export function checkAliasName(alias: string): void {
  if (alias === LATEST)
    throw invalidRequest({ pointer: '#alias', detail: 'latest is always the newest routable version' });
}

/**
 * The alias that a request describes.
 * @param before what it replaces; the version that was not in there is the newest one, as a roll-back means it
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export function aliasOf(input: AliasInput, before: Alias | undefined): Alias {
  const { weights, rollback } = input;
  const sticky = input.sticky?.slice(STICKY_PREFIX.length).toLowerCase();
  if (sticky !== undefined && UNSUITED.includes(sticky))
    throw invalidRequest({ pointer: '/sticky', detail: `${sticky} is no header to go by` });
  if (Object.values(weights).every((weight) => weight === 0))
    throw invalidRequest({ pointer: '/weights', detail: 'expected one weight above 0' });
  return {
    weights,
    ...(sticky !== undefined && { sticky }),
    ...(rollback && { rollback }),
    newest: newestOf(weights, before),
    updatedAtMs: Date.now(),
  };
}

function newestOf(weights: Alias['weights'], before: Alias | undefined): number {
  const used = Object.keys(weights)
    .filter((version) => (weights[version] ?? 0) > 0)
    .map(Number);
  const added = used.filter((version) => (before?.weights[version] ?? 0) === 0);
  if (before !== undefined && added.length === 0 && used.includes(before.newest)) return before.newest;
  return Math.max(...(added.length > 0 ? added : used));
}
