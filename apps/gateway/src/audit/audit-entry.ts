import { hash } from 'node:crypto';

/** Who did it. `platform`: no request but Mayfly by itself, or a command on its host. */
export interface AuditActor {
  readonly kind: 'operator' | 'tenant' | 'platform';
  /** Of the key that was shown; a word for what acted, when it is the platform. */
  readonly keyId: string;
  /** Whose key it is. */
  readonly tenant?: string;
}

/** What is put on record. Never a secret: no key's text or hash, no value of a secret. */
export interface AuditChange {
  /** What was done to what kind of thing, such as `quotas.replace`, `function.delete`; reads end in `.read`. */
  readonly action: string;
  /** Whose thing it is; absent for the platform's own. */
  readonly tenant?: string;
  /** Which one: a name, an id or a path. */
  readonly target: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface AuditEntry extends AuditChange {
  /** 1, 2, 3 …, without a gap. */
  readonly seq: number;
  readonly atMs: number;
  readonly actor: AuditActor;
  /** Address that the request came from; a proxy's, where one stands in front. */
  readonly from?: string;
}

/** An entry as it is stored: its text, and what links it to the one before. */
export interface Link {
  readonly text: string;
  readonly hash: string;
}

/** What the first entry is linked to. */
export const GENESIS = '0'.repeat(64);

/** SHA-256 over the hash before and the entry's exact text, in hex. */
export function linkHash(previous: string, text: string): string {
  return hash('sha256', `${previous}\n${text}`, 'hex');
}

/** The entry of a stored text; undefined for text that is none. */
export function parseEntry(text: string): AuditEntry | undefined {
  try {
    const entry = JSON.parse(text) as AuditEntry | null;
    return typeof entry === 'object' && Number.isSafeInteger(entry?.seq) ? (entry ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}
