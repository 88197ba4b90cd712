import { readFileSync } from 'node:fs';
import type { Outcome, OutcomeDetail, ReturnType } from '@mayfly/contracts';
import { expect } from 'vitest';

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

/** For a test of it. */
export function title(row: Expectation): string {
  const args = row.args.map(({ value }) => JSON.stringify(value).slice(0, 20)).join(', ');
  return row.phase === 'init'
    ? `fails to start: ${row.outcome}`
    : `${row.entrypoint}(${args}) ends as ${row.outcome}`;
}

/** What outcome and detail of a report must look like. */
export function matching(row: Expectation) {
  if (row.outcome === 'succeeded') return { outcome: 'succeeded', detail: undefined };
  const detail: Partial<Record<keyof OutcomeDetail, unknown>> = {
    ...(row.messageIncludes !== undefined && { message: expect.stringContaining(row.messageIncludes) }),
    ...(row.guestCode !== undefined && { guestCode: row.guestCode }),
    ...(row.vector !== undefined && { vector: row.vector }),
  };
  return { outcome: row.outcome, detail: expect.objectContaining(detail) };
}
