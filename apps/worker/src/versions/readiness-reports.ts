import {
  channels,
  type FunctionRef,
  keys,
  REPORT_RETENTION_MS,
  type ReadinessReport,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { BuildResult, ImageBuilder, InitFailure } from '../pool/guest-image.js';

export type Said = Pick<ReadinessReport, 'state' | 'message' | 'warmId' | 'tookMs'>;

/** Tells the gateways which versions this worker has prepared. */
export class ReadinessReports {
  readonly #options: ReadinessReportsOptions;

  constructor(options: ReadinessReportsOptions) {
    this.#options = options;
  }

  /** What settles something is kept, too, for gateways that do not hear it. */
  async send(ref: FunctionRef, said: Said): Promise<void> {
    const { redis, workerId } = this.#options;
    const { tenant, name, version } = ref;
    const report: ReadinessReport = { tenant, name, version, workerId, atMs: Date.now(), ...said };
    const text = JSON.stringify(report);
    const pipeline = redis.pipeline();
    if (said.state !== 'unavailable') {
      const key = keys.ready(tenant, name);
      pipeline.hset(key, String(version), text).pexpire(key, REPORT_RETENTION_MS);
    }
    await pipeline.publish(channels.ready, text).exec();
  }

  /** A builder whose builds are reported, whoever asks for them. */
  over(builder: ImageBuilder): ImageBuilder {
    return {
      build: async (ref: FunctionRef): Promise<BuildResult> => {
        const built = await builder.build(ref);
        this.send(ref, built.ok ? { state: 'ready' } : failed(built.failure)).catch(this.#options.onError);
        return built;
      },
    };
  }
}

export interface ReadinessReportsOptions {
  readonly redis: Redis;
  readonly workerId: string;
  readonly onError: (error: unknown) => void;
}

export function failed({ outcome, detail }: InitFailure): Said {
  return { state: 'failed', message: `${outcome}: ${detail.message}` };
}
