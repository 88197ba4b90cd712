export type { LogData, Severity } from './logs/log-data.js';
export { Busiest } from './metrics/busiest.js';
export {
  HistogramInstrument,
  type HistogramValue,
  NumberInstrument,
  type Point,
} from './metrics/instrument.js';
export { type Instruments, type MetricSnapshot, Metrics } from './metrics/metrics.js';
export { MetricsServer, type MetricsServerOptions } from './metrics/metrics-server.js';
export { PROMETHEUS_CONTENT_TYPE, prometheusText } from './metrics/prometheus-text.js';
export * from './names/attributes.js';
export * from './names/metrics.js';
export * from './names/prometheus.js';
export * from './names/spans.js';
export { type BatchSettings, readTelemetrySettings, type TelemetrySettings } from './settings.js';
export {
  localTelemetry,
  startTelemetry,
  type Telemetry,
  type TelemetryOptions,
  type Tracing,
} from './telemetry.js';
export { preciseNowMs, toEpochMs, unixNs } from './trace/clock.js';
export {
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceContext,
  type TraceContext,
} from './trace/context.js';
export { type CallEnd, type SamplerSettings, Sampling } from './trace/sampling.js';
export type {
  Attributes,
  AttributeValue,
  ResourceData,
  SpanData,
  SpanEventData,
  SpanKind,
  SpanLink,
} from './trace/span-data.js';
