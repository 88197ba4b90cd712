import { readFileSync } from 'node:fs';
import type { Outcome, ReturnType } from '@mayfly/contracts';

/** One row of `guests/expectations.json`: what the host must answer to one call at CPL 3. */
export interface Expectation {
  readonly guest: string;
  readonly entrypoint: string;
  readonly args: readonly { readonly type: ReturnType; readonly value: unknown }[];
  /** The type the caller asks for; the manifest may say another. */
  readonly returns: ReturnType;
  readonly outcome: Outcome;
  /** The lie is in the initialisation: loading the version ends so, and no call is made. */
  readonly phase?: 'init';
  readonly result?: number | string | boolean;
  readonly guestCode?: number;
  readonly messageIncludes?: string;
  readonly vector?: string;
  readonly timeoutMs?: number;
}

export const expectations: readonly Expectation[] = JSON.parse(
  readFileSync(new URL('../../expectations.json', import.meta.url), 'utf8'),
);

export interface GuestManifest {
  readonly entrypoints: Readonly<Record<string, { readonly params: string[]; readonly returns: string }>>;
  readonly default: string;
}

export function guestManifest(name: string): GuestManifest {
  return JSON.parse(readFileSync(new URL(`../../build/${name}.json`, import.meta.url), 'utf8'));
}
