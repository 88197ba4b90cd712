import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import {
  decodeOtlp,
  type OtlpAnyValue,
  type OtlpKeyValue,
  type OtlpLogRecord,
  type OtlpMetric,
  type OtlpRequests,
  type OtlpSpan,
} from './otlp-decoders.js';

type Plain = string | number | boolean | readonly Plain[];
export type PlainAttributes = Readonly<Record<string, Plain>>;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly traceState: string | undefined;
  readonly name: string;
  readonly kind: (typeof KINDS)[number];
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: PlainAttributes;
  readonly events: readonly { name: string; timeNs: bigint; attributes: PlainAttributes }[];
  readonly links: readonly { traceId: string; spanId: string }[];
  readonly isError: boolean;
  readonly errorText: string | undefined;
  readonly resource: PlainAttributes;
  readonly scope: string;
}

export interface ReceivedLog {
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly severity: string;
  readonly body: Plain;
  readonly timeNs: bigint;
  readonly attributes: PlainAttributes;
  readonly resource: PlainAttributes;
}

export interface ReceivedMetric extends OtlpMetric {
  readonly resource: PlainAttributes;
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const STATUS_ERROR = 2;

/** An OTLP http/protobuf receiver, which keeps what it is sent. */
export class TestCollector {
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  /** All exports, the latest last. */
  readonly metrics: ReceivedMetric[] = [];
  readonly contentTypes = new Set<string>();
  /** What it answers. */
  status = 200;
  readonly #server = createServer((request, response) => {
    void this.#take(request).finally(() => response.writeHead(this.status).end());
  });
  readonly #waiting = new Set<() => void>();

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Resolves with what `find` finds, looked for after each request that arrives. */
  async until<T>(what: string, find: () => T | undefined | false, limitMs = 20_000): Promise<T> {
    const deadline = AbortSignal.timeout(limitMs);
    for (;;) {
      const found = find();
      if (found !== undefined && found !== false) return found;
      if (deadline.aborted)
        throw new Error(`${what} did not arrive; spans: ${this.spans.map(({ name }) => name).join(', ')}`);
      await new Promise<void>((resolve) => {
        const go = () => {
          this.#waiting.delete(go);
          deadline.removeEventListener('abort', go);
          resolve();
        };
        this.#waiting.add(go);
        deadline.addEventListener('abort', go);
      });
    }
  }

  /** The spans of one trace. */
  trace(traceId: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  async #take(request: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    this.contentTypes.add(request.headers['content-type'] ?? '');
    if (this.status === 200) {
      if (request.url === '/v1/traces') this.#takeTraces(decodeOtlp('traces', body));
      if (request.url === '/v1/logs') this.#takeLogs(decodeOtlp('logs', body));
      if (request.url === '/v1/metrics') this.#takeMetrics(decodeOtlp('metrics', body));
    }
    for (const go of [...this.#waiting]) go();
  }

  #takeTraces({ resourceSpans = [] }: OtlpRequests['traces']): void {
    for (const { resource, scopeSpans = [] } of resourceSpans)
      for (const { scope, spans = [] } of scopeSpans)
        for (const span of spans)
          this.spans.push(receivedSpan(span, plain(resource?.attributes), scope?.name ?? ''));
  }

  #takeLogs({ resourceLogs = [] }: OtlpRequests['logs']): void {
    for (const { resource, scopeLogs = [] } of resourceLogs)
      for (const { logRecords = [] } of scopeLogs)
        for (const record of logRecords) this.logs.push(receivedLog(record, plain(resource?.attributes)));
  }

  #takeMetrics({ resourceMetrics = [] }: OtlpRequests['metrics']): void {
    for (const { resource, scopeMetrics = [] } of resourceMetrics)
      for (const { metrics = [] } of scopeMetrics)
        for (const metric of metrics) this.metrics.push({ ...metric, resource: plain(resource?.attributes) });
  }
}

function receivedSpan(span: OtlpSpan, resource: PlainAttributes, scope: string): ReceivedSpan {
  return {
    traceId: hex(span.traceId) ?? '',
    spanId: hex(span.spanId) ?? '',
    parentSpanId: hex(span.parentSpanId),
    traceState: span.traceState || undefined,
    name: span.name,
    kind: KINDS[span.kind] ?? 'unspecified',
    startNs: BigInt(span.startTimeUnixNano),
    endNs: BigInt(span.endTimeUnixNano),
    attributes: plain(span.attributes),
    events: (span.events ?? []).map(({ name, timeUnixNano, attributes }) => ({
      name,
      timeNs: BigInt(timeUnixNano),
      attributes: plain(attributes),
    })),
    links: (span.links ?? []).map((link) => ({
      traceId: hex(link.traceId) ?? '',
      spanId: hex(link.spanId) ?? '',
    })),
    isError: span.status?.code === STATUS_ERROR,
    errorText: span.status?.message || undefined,
    resource,
    scope,
  };
}

function receivedLog(record: OtlpLogRecord, resource: PlainAttributes): ReceivedLog {
  return {
    traceId: hex(record.traceId),
    spanId: hex(record.spanId),
    severity: record.severityText ?? '',
    body: plainValue(record.body),
    timeNs: BigInt(record.timeUnixNano),
    attributes: plain(record.attributes),
    resource,
  };
}

function hex(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined || bytes.byteLength === 0 ? undefined : bytes.toString('hex');
}

function plain(attributes: readonly OtlpKeyValue[] = []): PlainAttributes {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainValue(value)]));
}

function plainValue(value: OtlpAnyValue = {}): Plain {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.intValue !== undefined) return Number(value.intValue);
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.boolValue !== undefined) return value.boolValue;
  return (value.arrayValue?.values ?? []).map(plainValue);
}
