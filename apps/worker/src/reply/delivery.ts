import type { BlobStore } from '@mayfly/blobs';
import {
  channels,
  encodeReplyFrame,
  type InvocationRecord,
  keys,
  LIMITS,
  type ReplyAddress,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { ReplyRouter } from './reply-router.js';
import { corkForTurn } from './write-turn.js';

/** An invocation that has ended: what is kept of it, and what answers its caller. */
export interface Settlement {
  readonly record: InvocationRecord;
  /** UTF-8 of a string result or the bytes of a bytes result that is not inside the record; empty otherwise. */
  readonly body: Uint8Array;
  /** Absent when nobody waits. */
  readonly replyToken?: string;
}

export interface DeliveryDeps {
  /** The connection that completes jobs, too: what is sent on it arrives in order, so a completed job has its record. */
  readonly redis: Pick<Redis, 'set' | 'publish' | 'exists' | 'stream'>;
  readonly blobs: Pick<BlobStore, 'put'>;
  readonly router: ReplyRouter;
  /** A record or reply that could not be delivered. */
  readonly onError: (error: unknown, invocationId: string) => void;
}

/**
 * Takes settled invocations to their callers and into the records: the reply goes first, straight to the gateway's
 * socket, and the record beside it. A gateway that cannot be reached is told through Redis once the record is there.
 */
export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #pending = new Set<Promise<void>>();

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
  }

  /** Resolves when the record is kept (by whoever came first); rejects when it cannot be. The reply does not wait. */
  deliver(settlement: Settlement, reply: ReplyAddress | undefined): Promise<void> {
    const { record, body, replyToken } = settlement;
    const json = JSON.stringify(record);
    let isUnreachable = false;
    let isKept = false;
    const publish = () => {
      if (replyToken === undefined || reply === undefined) return;
      const message = `${replyToken} ${record.tenant} ${record.invocationId}`;
      const published = this.#deps.redis.publish(channels.reply(reply.gatewayId), message);
      this.#track(published, record).catch(() => undefined);
    };

    if (replyToken !== undefined && reply !== undefined) {
      if (reply.socketPath === undefined) isUnreachable = true;
      else
        this.#deps.router.send(reply.socketPath, encodeReplyFrame(replyToken, json, body), () => {
          isUnreachable = true;
          if (isKept) publish();
        });
    }
    return this.#track(
      this.#keep(record, json, body).then(() => {
        isKept = true;
        if (isUnreachable) publish();
      }),
      record,
    );
  }

  /** Which of these invocations have a record already. */
  async settled(tenant: string, invocationIds: readonly string[]): Promise<Set<string>> {
    const found = await Promise.all(
      invocationIds.map((invocationId) => this.#deps.redis.exists(keys.record(tenant, invocationId))),
    );
    return new Set(invocationIds.filter((_, index) => found[index] === 1));
  }

  /** Resolves once everything that was delivered has left or failed. */
  async flushed(): Promise<void> {
    await this.#deps.router.flushed();
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  async #keep(record: InvocationRecord, json: string, body: Uint8Array): Promise<void> {
    // The bytes come before the record that names them.
    if (record.result?.kind === 'blob') await this.#deps.blobs.put(record.tenant, body, { durable: false });
    // NX: of two workers that ran the same invocation, the first one's outcome stands.
    const key = keys.record(record.tenant, record.invocationId);
    // The records of a turn, and the completion of their job, leave together.
    if (this.#deps.redis.stream) corkForTurn(this.#deps.redis.stream);
    await this.#deps.redis.set(key, json, 'PX', LIMITS.recordRetentionMs, 'NX');
  }

  #track<T>(work: Promise<T>, record: InvocationRecord): Promise<void> {
    const pending: Promise<void> = work.then(
      () => undefined,
      (error) => {
        this.#deps.onError(error, record.invocationId);
        throw error;
      },
    );
    this.#pending.add(pending);
    pending.then(
      () => this.#pending.delete(pending),
      () => this.#pending.delete(pending),
    );
    return pending;
  }
}
