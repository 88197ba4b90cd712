import type { Entrypoint, Manifest } from '@mayfly/contracts';
import { invalidRequest } from '../errors.js';

/** What the manifest says of an entrypoint, if anything. */
export function signatureOf(manifest: Manifest, entrypoint: string): Entrypoint | undefined {
  return Object.hasOwn(manifest.entrypoints, entrypoint) ? manifest.entrypoints[entrypoint] : undefined;
}

/** The entrypoint that the caller named, else the manifest's default. `pointer` is where it can be named. */
export function chooseEntrypoint(manifest: Manifest, named: string | undefined, pointer: string): string {
  const entrypoint = named ?? manifest.default;
  if (entrypoint === undefined)
    throw invalidRequest({ pointer, detail: 'required, since the version has no default entrypoint' });
  return entrypoint;
}
