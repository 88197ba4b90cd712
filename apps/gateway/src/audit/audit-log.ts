import { channels, keys } from '@mayfly/contracts';
import type { FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import { gatewayError } from '../errors.js';
import { orUnavailable } from '../redis.js';
import { APPEND } from './append-script.js';
import {
  type AuditActor,
  type AuditChange,
  type AuditEntry,
  GENESIS,
  type Link,
  linkHash,
  parseEntry,
} from './audit-entry.js';

/** A request of somebody, or a word for what of the platform acts by itself, such as `rollback`. */
export type AuditSource = FastifyRequest | string;

/** A change of the tenant directory that is made together with its entry. */
export interface DirectoryWrite {
  readonly kind: 'tenant' | 'key';
  /** Tenant name or key id. */
  readonly id: string;
  /** The text that must stand there; absent: nothing may. */
  readonly before?: string | undefined;
  /** Absent: deleted. */
  readonly after?: string | undefined;
}

export interface VerifyResult {
  readonly entries: number;
  /** Of the last entry; note it elsewhere to notice a log that was cut or written anew. */
  readonly head: { readonly seq: number; readonly hash: string };
  /** The first place where the chain does not hold. */
  readonly broken?: { readonly id: string; readonly seq: number; readonly reason: string };
}

const PAGE = 500;
/** Other gateways may append between a look at the end and the append; each loss is another's success. */
const MAX_TRIES = 50;

/**
 * The audit log: who did what, from where, before and after. Every entry is linked to the one before by a hash, so
 * that no entry can be changed, removed or put in between without `verify` naming the place.
 */
export class AuditLog {
  readonly #redis: Redis;
  /** The end of the log as last seen. */
  #head = { seq: 0, hash: GENESIS };
  #turn: Promise<unknown> = Promise.resolve();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * Puts a change on record; resolves once it is there, and the writes with it.
   * @throws MAYFLY_ERR_GATEWAY_CONFLICT when a write meets another text than it expects: nothing is written then
   * @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE
   */
  record(source: AuditSource, change: AuditChange, writes: readonly DirectoryWrite[] = []): Promise<void> {
    // One at a time: this gateway's own entries never race each other for the end of the log.
    const mine = this.#turn.then(() => this.#append(source, change, writes));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Entries from a cursor on, oldest first. @param after stream id; absent: from the beginning. */
  async page(after: string | undefined, limit: number): Promise<{ items: StoredEntry[]; cursor?: string }> {
    const rows = await this.#rows(after, limit);
    const items = rows.flatMap(({ id, text, hash }) => {
      const entry = parseEntry(text);
      return entry === undefined ? [] : [{ id, hash, ...entry }];
    });
    const last = rows.at(-1);
    return { items, ...(rows.length === limit && last !== undefined && { cursor: last.id }) };
  }

  /** Walks the whole log. @param noted an entry as it was before, to notice a chain that was written anew */
  async verify(noted?: VerifyResult['head']): Promise<VerifyResult> {
    let head = { seq: 0, hash: GENESIS };
    let after: string | undefined;
    for (;;) {
      const rows = await this.#rows(after, PAGE);
      for (const row of rows) {
        const seq = head.seq + 1;
        const isOther = noted?.seq === seq && noted.hash !== row.hash;
        const reason = faultOf(row, head) ?? (isOther ? 'the hash is not the one noted before' : undefined);
        if (reason !== undefined) return { entries: head.seq, head, broken: { id: row.id, seq, reason } };
        head = { seq, hash: row.hash };
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) break;
      after = last.id;
    }
    const added = Math.max(await this.#entriesAdded(), noted?.seq ?? 0);
    if (added <= head.seq) return { entries: head.seq, head };
    const reason = `${added - head.seq} entries are missing at the end`;
    return { entries: head.seq, head, broken: { id: after ?? '0-0', seq: head.seq + 1, reason } };
  }

  async #append(source: AuditSource, change: AuditChange, writes: readonly DirectoryWrite[]): Promise<void> {
    for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
      const link = this.#link(source, change);
      const [answer = '', first = '', hash = ''] = await this.#eval(link, writes);
      if (answer === 'ok') {
        this.#head = { seq: this.#head.seq + 1, hash: link.hash };
        return;
      }
      if (answer === 'stale')
        throw gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', `${first} has been changed meanwhile`);
      // An entry that does not parse was tampered with: verify names it, the log goes on.
      this.#head =
        hash === '' ? { seq: 0, hash: GENESIS } : { seq: parseEntry(first)?.seq ?? this.#head.seq + 1, hash };
    }
    throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'the audit log is too busy');
  }

  #link(source: AuditSource, change: AuditChange): Link {
    const { action, tenant, target, before, after } = change;
    const entry: AuditEntry = {
      seq: this.#head.seq + 1,
      atMs: Date.now(),
      actor: actorOf(source),
      ...(typeof source !== 'string' && { from: source.ip }),
      action,
      ...(tenant !== undefined && { tenant }),
      target,
      ...(before !== undefined && { before }),
      ...(after !== undefined && { after }),
    };
    const text = JSON.stringify(entry);
    return { text, hash: linkHash(this.#head.hash, text) };
  }

  #eval({ text, hash }: Link, writes: readonly DirectoryWrite[]): Promise<string[]> {
    const { audit, tenants, apiKeys, tenantChanges, tenantRevision } = keys;
    const args = writes.flatMap(({ kind, id, before = '', after = '' }) => [
      kind === 'tenant' ? 't' : 'k',
      ...[id, before, after],
    ]);
    return orUnavailable(
      this.#redis.eval(
        ...([APPEND, 5, audit, tenants, apiKeys, tenantChanges, tenantRevision] as const),
        ...[this.#head.hash, text, hash, channels.tenants, ...args],
      ),
    ) as Promise<string[]>;
  }

  async #rows(after: string | undefined, count: number): Promise<Row[]> {
    const from = after === undefined ? '-' : `(${after}`;
    const rows = await orUnavailable(this.#redis.xrange(keys.audit, from, '+', 'COUNT', count));
    return rows.map(([id, fields]) => {
      const named = Object.fromEntries(pairs(fields));
      return { id, text: named['e'] ?? '', hash: named['h'] ?? '' };
    });
  }

  /** How many entries the stream ever got; Redis counts them itself, so a removed end shows. */
  async #entriesAdded(): Promise<number> {
    // That there is no stream yet is an error to Redis.
    const asked = this.#redis.xinfo('STREAM', keys.audit).catch((error: Error) => {
      if (/no such key/.test(error.message)) return [];
      throw error;
    });
    const info = (await orUnavailable(asked)) as unknown[];
    return Number(new Map(pairs(info)).get('entries-added') ?? 0);
  }
}

export interface StoredEntry extends AuditEntry {
  /** Of the stream. */
  readonly id: string;
  readonly hash: string;
}

interface Row extends Link {
  readonly id: string;
}

/** Why an entry does not follow the one before. */
function faultOf({ text, hash }: Row, previous: { seq: number; hash: string }): string | undefined {
  const entry = parseEntry(text);
  if (entry === undefined) return 'the entry does not parse';
  if (entry.seq > previous.seq + 1) return `${entry.seq - previous.seq - 1} entries before it are missing`;
  if (entry.seq <= previous.seq) return 'the entry stands there twice, or out of its order';
  if (hash !== linkHash(previous.hash, text)) return 'the hash is not that of the entry and the one before';
  return undefined;
}

function actorOf(source: AuditSource): AuditActor {
  if (typeof source === 'string') return { kind: 'platform', keyId: source };
  const { kind, keyId, tenant } = source.principal;
  return { kind, keyId, ...(tenant !== '' && { tenant }) };
}

function pairs<T>(flat: readonly T[]): [T, T][] {
  const found: [T, T][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i] as T, flat[i + 1] as T]);
  return found;
}
