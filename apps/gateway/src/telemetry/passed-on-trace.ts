import type { TraceRef } from '@mayfly/contracts';
import { formatTraceparent, type TraceContext } from '@mayfly/telemetry';
import type { CallTrace, JobContext } from './request-trace.js';

/** The client's trace where this gateway makes no spans: its context goes to the worker as it came. */
export class PassedOnTrace implements CallTrace {
  readonly #client: TraceContext;

  constructor(client: TraceContext) {
    this.#client = client;
  }

  get traceId(): string {
    return this.#client.traceId;
  }

  sends(): JobContext {
    const { traceState } = this.#client;
    return {
      traceparent: formatTraceparent(this.#client),
      ...(traceState !== undefined && { tracestate: traceState }),
    };
  }

  lost(): TraceRef {
    return { id: this.traceId, sampled: false };
  }

  invokes(): void {}
  decided(): void {}
  sent(): void {}
  answered(): void {}
}
