import type { BlobStore } from '@mayfly/blobs';
import {
  channels,
  encodeReplyFrame,
  type InvocationItem,
  type InvocationRecord,
  keys,
  type ReplyAddress,
} from '@mayfly/contracts';
import type { CallClass } from '@mayfly/queue';
import type { Redis } from 'ioredis';
import { keptRecord } from './kept-record.js';
import { RecordWriter } from './record-writer.js';
import type { ReplyPace } from './reply-connection.js';
import type { ReplyRouter } from './reply-router.js';

/** An invocation that has ended: what is kept of it, and what answers its caller. */
export interface Settlement {
  readonly record: InvocationRecord;
  /** UTF-8 of a string result or the bytes of a bytes result that is not inside the record; empty otherwise. */
  readonly body: Uint8Array;
  /** Absent when nobody waits. */
  readonly replyToken?: string;
  /** Of which ends result and log stay on record. Absent: of all. */
  readonly storeResult?: InvocationItem['storeResult'];
  /** How it came in. */
  readonly class: CallClass;
  /** JSON of the `DeadCall` of an async call that was given up. */
  readonly letter?: string;
}

export interface DeliveryDeps {
  /** The connection that completes jobs, too: what is sent on it arrives in order, so a completed job has its record. */
  readonly redis: Pick<Redis, 'publish' | 'exists' | 'stream' | 'defineCommand'>;
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
  readonly #records: RecordWriter;
  /** Beside the records: bytes that go into the blob store first, and replies through Redis. */
  readonly #pending = new Set<Promise<void>>();

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#records = new RecordWriter(deps.redis, deps.onError);
  }

  /**
   * Resolves when the record is kept (by whoever came first); rejects when it cannot be. The reply does not wait.
   * @param pace of the reply @defaultValue 'at-once'
   */
  deliver(
    settlement: Settlement,
    reply: ReplyAddress | undefined,
    pace: ReplyPace = 'at-once',
  ): Promise<void> {
    const { record, body, replyToken } = settlement;
    const json = JSON.stringify(record);
    if (replyToken === undefined || reply === undefined)
      return this.#keep(settlement, json, { isGathered: false });
    const viaRedis = () => this.#publish(reply.gatewayId, replyToken, record, kept);
    if (reply.socketPath !== undefined)
      this.#deps.router.send(reply.socketPath, encodeReplyFrame(replyToken, json, body), pace, viaRedis);
    // Who waits has the answer from the reply, so the record waits for those of the same job.
    const kept = this.#keep(settlement, json, { isGathered: true, isAnswer: reply.socketPath === undefined });
    if (reply.socketPath === undefined) viaRedis();
    return kept;
  }

  /**
   * Tells a gateway that a call is lost. Whether that is its end the gateway decides: the worker that is gone may have
   * answered before it went, without its record. A gateway that cannot be told ends the call at its time limit; one that
   * is gone, too, took with it what its caller was told, and nothing is put on record that could deny that.
   */
  tellLost(settlement: Settlement, reply: ReplyAddress | undefined): Promise<void> {
    const { record, body, replyToken } = settlement;
    // Through Redis answers come after their records, so none can have been given without one.
    if (replyToken === undefined || reply?.socketPath === undefined) return this.deliver(settlement, reply);
    const frame = encodeReplyFrame(replyToken, JSON.stringify(record), body);
    this.#deps.router.send(reply.socketPath, frame, 'at-once', () => undefined);
    return Promise.resolve();
  }

  /** The calls of a job have ended: what was gathered goes. */
  leave(reply: ReplyAddress | undefined): void {
    if (reply?.socketPath !== undefined) this.#deps.router.leave(reply.socketPath);
    this.#records.leave();
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
    await this.#records.flushed();
    while (this.#pending.size > 0) {
      await Promise.allSettled(this.#pending);
      await this.#records.flushed();
    }
  }

  /** @param isAnswer who waits is answered with the record, so it has all */
  #keep(
    { record: answer, body, class: kind, storeResult, letter }: Settlement,
    answerJson: string,
    { isGathered, isAnswer = false }: { isGathered: boolean; isAnswer?: boolean },
  ): Promise<void> {
    const record = isAnswer ? answer : keptRecord(answer, storeResult);
    const { tenant, invocationId } = record;
    const json = record === answer ? answerJson : JSON.stringify(record);
    const end = { class: kind, record, json, letter };
    if (record.result?.kind !== 'blob') return this.#records.keep(end, isGathered);
    // The guest has ended: its place does not wait for the bytes, which come before the record that names them.
    this.#records.giveBack({ class: kind, tenant, function: record.function, invocationId });
    const stored = this.#track(this.#deps.blobs.put(tenant, body, { durable: false }), invocationId);
    return stored.then(() => this.#records.keep(end, false));
  }

  /** Tells a gateway, once the record is kept, that it is there. */
  #publish(gatewayId: string, replyToken: string, record: InvocationRecord, kept: Promise<void>): void {
    const { tenant, invocationId } = record;
    const message = `${replyToken} ${tenant} ${invocationId}`;
    kept.then(
      () => {
        const published = this.#deps.redis.publish(channels.reply(gatewayId), message);
        this.#track(published, invocationId).catch(() => undefined);
      },
      () => undefined,
    );
  }

  #track(work: Promise<unknown>, invocationId: string): Promise<void> {
    const pending: Promise<void> = work.then(
      () => undefined,
      (error) => {
        this.#deps.onError(error, invocationId);
        throw error;
      },
    );
    this.#pending.add(pending);
    const forget = () => {
      this.#pending.delete(pending);
    };
    pending.then(forget, forget);
    return pending;
  }
}
