import { setGlobalErrorHandler } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, type ReadableLogRecord, type SdkLogRecord } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base';
import type { LogData } from '../logs/log-data.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Process } from '../names/metrics.js';
import type { TelemetrySettings } from '../settings.js';
import type { Attributes, ResourceData, SpanData } from '../trace/span-data.js';
import { readableLog } from './logs.js';
import { metricProducer } from './metrics.js';
import { BoundedQueue } from './queue.js';
import { readableSpan } from './spans.js';
import { mutable } from './values.js';

export interface OtlpOptions {
  readonly settings: TelemetrySettings;
  /** Of this process. */
  readonly resource: Attributes;
  readonly metrics: Pick<Metrics<Process>, 'collect'>;
  readonly onLost: (signal: 'traces' | 'logs', count: number) => void;
  /** Something went wrong on the way to the collector; never more than a log line. */
  readonly onProblem: (error: unknown) => void;
}

export interface Otlp {
  readonly exportSpan?: (span: SpanData) => void;
  readonly exportLog?: (log: LogData) => void;
  /** Sends what waits, and ends. */
  shutdown(): Promise<void>;
}

/** The SDK, with as much of it as there are endpoints. Only this file and its neighbours import it. */
export function startOtlp(options: OtlpOptions): Otlp {
  const { settings, metrics, onProblem } = options;
  const { endpoints, metricIntervalMs } = settings;
  setGlobalErrorHandler(onProblem);
  const resources = new Resources(options.resource);
  const spans = endpoints.traces === undefined ? undefined : spanPipe(options, endpoints.traces);
  const logs = endpoints.logs === undefined ? undefined : logPipe(options, endpoints.logs);
  const meters =
    endpoints.metrics === undefined
      ? undefined
      : new MeterProvider({
          resource: resources.own,
          readers: [
            new PeriodicExportingMetricReader({
              exporter: new OTLPMetricExporter({ url: endpoints.metrics }),
              exportIntervalMillis: metricIntervalMs,
              exportTimeoutMillis: Math.min(30_000, metricIntervalMs),
              metricProducers: [metricProducer(metrics)],
            }),
          ],
        });
  return {
    ...(spans && { exportSpan: (span) => spans.send(readableSpan(span, resources.of(span.resource))) }),
    ...(logs && { exportLog: (log) => logs.send(readableLog(log, resources.of(log.resource))) }),
    async shutdown() {
      await Promise.all(
        [spans?.shutdown(), logs?.shutdown(), meters?.shutdown()].map((ended) => ended?.catch(onProblem)),
      );
    },
  };
}

interface Pipe<T> {
  send(item: T): void;
  shutdown(): Promise<void>;
}

function spanPipe({ settings, onLost }: OtlpOptions, url: string): Pipe<ReadableSpan> {
  const queue = new BoundedQueue<ReadableSpan>(settings.spanBatch.maxQueueSize, (count) =>
    onLost('traces', count),
  );
  const processor = new BatchSpanProcessor(queue.watch(new OTLPTraceExporter({ url })), settings.spanBatch);
  return {
    send: (span) => {
      if (queue.admit()) processor.onEnd(span);
    },
    shutdown: () => processor.shutdown(),
  };
}

function logPipe({ settings, onLost }: OtlpOptions, url: string): Pipe<ReadableLogRecord> {
  const queue = new BoundedQueue<ReadableLogRecord>(settings.logBatch.maxQueueSize, (count) =>
    onLost('logs', count),
  );
  const exporter = queue.watch(new OTLPLogExporter({ url }));
  const processor = new BatchLogRecordProcessor({
    exporter: { ...exporter, forceFlush: async () => undefined },
    ...settings.logBatch,
  });
  return {
    send: (log) => {
      // The processor only hands on what it is given.
      if (queue.admit()) processor.onEmit(log as SdkLogRecord);
    },
    shutdown: () => processor.shutdown(),
  };
}

/** SDK resources by the identity of ours: exporters group by theirs. */
class Resources {
  readonly own: Resource;
  readonly #made = new WeakMap<ResourceData, Resource>();

  constructor(own: Attributes) {
    this.own = resourceFromAttributes(mutable(own));
  }

  of(data: ResourceData | undefined): Resource {
    if (data === undefined) return this.own;
    let made = this.#made.get(data);
    if (made === undefined) {
      made = resourceFromAttributes(mutable(data.attributes));
      this.#made.set(data, made);
    }
    return made;
  }
}
