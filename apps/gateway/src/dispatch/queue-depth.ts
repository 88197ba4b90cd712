import type { JobProducer, QueueName } from './job-producer.js';

const SAMPLE_MS = 500;

/** How many jobs wait, at most half a second old: calls ask on the hot path, Redis is asked beside it. */
export class QueueDepth {
  readonly #producer: JobProducer;
  readonly #samples: Record<QueueName, { depth: number; atMs: number }> = {
    sync: { depth: 0, atMs: 0 },
    async: { depth: 0, atMs: 0 },
  };

  constructor(producer: JobProducer) {
    this.#producer = producer;
  }

  /** The last known depth; starts a fresh look when it is old. */
  recent(queue: QueueName): number {
    const sample = this.#samples[queue];
    const nowMs = Date.now();
    if (nowMs - sample.atMs > SAMPLE_MS) {
      sample.atMs = nowMs;
      this.#producer.depth(queue).then(
        (depth) => {
          sample.depth = depth;
        },
        // Without Redis the add itself fails, and says so.
        () => undefined,
      );
    }
    return sample.depth;
  }
}
