import { type CallId, type End, Ledger } from '@mayfly/queue';
import type { Redis } from 'ioredis';
import { corkForCompany, corkForTurn } from './write-turn.js';

/** How long a record may wait for others of its job: a reader of records looks again for longer. */
const COMPANY_MS = 5;
interface Batch {
  readonly ends: End[];
  readonly written: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  timer: NodeJS.Timeout | undefined;
}

/** Puts ends on record, those of one job in one command. */
export class RecordWriter {
  readonly #redis: Pick<Redis, 'stream' | 'defineCommand'>;
  readonly #ledger: Ledger;
  readonly #onError: (error: unknown, invocationId: string) => void;
  readonly #pending = new Set<Promise<void>>();
  #batch: Batch | undefined;

  constructor(
    redis: Pick<Redis, 'stream' | 'defineCommand'>,
    onError: (error: unknown, invocationId: string) => void,
  ) {
    this.#redis = redis;
    this.#onError = onError;
    this.#ledger = new Ledger(redis);
  }

  /**
   * Resolves when the record is kept, by whoever came first; rejects when it cannot be.
   * @param isGathered it waits for `leave`, or a few milliseconds, for others to go with
   */
  keep(end: End, isGathered: boolean): Promise<void> {
    this.#batch ??= newBatch();
    const batch = this.#batch;
    batch.ends.push(end);
    if (!isGathered) this.#send(batch, corkForTurn);
    else batch.timer ??= setTimeout(() => this.#send(batch, corkForTurn), COMPANY_MS);
    return batch.written;
  }

  /** The call's guest has ended, and its end follows later: its place is free now. */
  giveBack(call: CallId): void {
    this.#ledger.giveBack([call]).catch((error: unknown) => this.#onError(error, call.invocationId));
  }

  /** Sends what was gathered; the end of its job, which follows on the same connection, leaves with it. */
  leave(): void {
    if (this.#batch) this.#send(this.#batch, corkForCompany);
  }

  /** Resolves once every record is kept or has failed. */
  async flushed(): Promise<void> {
    this.leave();
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
  }

  #send(batch: Batch, cork: typeof corkForTurn): void {
    clearTimeout(batch.timer);
    this.#batch = undefined;
    if (this.#redis.stream) cork(this.#redis.stream);
    this.#pending.add(batch.written);
    this.#ledger.settle(batch.ends).then(
      () => {
        this.#pending.delete(batch.written);
        batch.resolve();
      },
      (error: unknown) => {
        this.#pending.delete(batch.written);
        for (const { record } of batch.ends) this.#onError(error, record.invocationId);
        batch.reject(error);
      },
    );
  }
}

function newBatch(): Batch {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const written = new Promise<void>((kept, failed) => {
    resolve = kept;
    reject = failed;
  });
  // Who waits for a record sees its failure; of the others the writer's owner is told.
  written.catch(() => undefined);
  return { ends: [], written, resolve, reject, timer: undefined };
}
