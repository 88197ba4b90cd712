import { LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { corkForCompany, corkForTurn } from './write-turn.js';

/** How long a record may wait for others of its job: a reader of records looks again for longer. */
const COMPANY_MS = 5;
const KEEP_RECORDS = 'mayflyKeepRecords';
// NX: of two workers that ran the same invocation, the first one's outcome stands.
const KEEP_RECORDS_LUA = `
for index, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[index + 1], 'PX', ARGV[1], 'NX')
end`;

type KeepRecords = (count: number, ...keysThenArguments: (string | number)[]) => Promise<unknown>;

/** A record on its way: what it is kept under, what it says, whose it is. */
export interface RecordToKeep {
  readonly key: string;
  readonly json: string;
  readonly invocationId: string;
}

interface Batch {
  readonly records: RecordToKeep[];
  readonly written: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  timer: NodeJS.Timeout | undefined;
}

/** Writes records, those of one job in one command. */
export class RecordWriter {
  readonly #redis: Pick<Redis, 'set' | 'stream' | 'defineCommand'>;
  readonly #onError: (error: unknown, invocationId: string) => void;
  readonly #pending = new Set<Promise<void>>();
  #batch: Batch | undefined;

  constructor(
    redis: Pick<Redis, 'set' | 'stream' | 'defineCommand'>,
    onError: (error: unknown, invocationId: string) => void,
  ) {
    this.#redis = redis;
    this.#onError = onError;
    redis.defineCommand(KEEP_RECORDS, { lua: KEEP_RECORDS_LUA });
  }

  /**
   * Resolves when the record is kept, by whoever came first; rejects when it cannot be.
   * @param isGathered it waits for `leave`, or a few milliseconds, for others to go with
   */
  keep(record: RecordToKeep, isGathered: boolean): Promise<void> {
    this.#batch ??= newBatch();
    const batch = this.#batch;
    batch.records.push(record);
    if (!isGathered) this.#send(batch, corkForTurn);
    else batch.timer ??= setTimeout(() => this.#send(batch, corkForTurn), COMPANY_MS);
    return batch.written;
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
    this.#write(batch.records).then(
      () => {
        this.#pending.delete(batch.written);
        batch.resolve();
      },
      (error: unknown) => {
        this.#pending.delete(batch.written);
        for (const { invocationId } of batch.records) this.#onError(error, invocationId);
        batch.reject(error);
      },
    );
  }

  #write(records: readonly RecordToKeep[]): Promise<unknown> {
    const [first] = records;
    if (records.length === 1 && first !== undefined)
      return this.#redis.set(first.key, first.json, 'PX', LIMITS.recordRetentionMs, 'NX');
    const keepRecords = (this.#redis as unknown as Record<typeof KEEP_RECORDS, KeepRecords>)[KEEP_RECORDS];
    return keepRecords.call(
      this.#redis,
      records.length,
      ...records.map(({ key }) => key),
      LIMITS.recordRetentionMs,
      ...records.map(({ json }) => json),
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
  return { records: [], written, resolve, reject, timer: undefined };
}
