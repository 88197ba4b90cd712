import type { SamplerSettings } from './trace/sampling.js';

/** What the environment says about telemetry: the variables of the OpenTelemetry specification, and our own. */
export interface TelemetrySettings {
  /** Where each signal goes; absent: it is not exported, and its part of the SDK is not loaded. */
  readonly endpoints: { readonly traces?: string; readonly metrics?: string; readonly logs?: string };
  /** `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`: they go before what the process says of itself. */
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: SamplerSettings;
  /** Calls that take longer are always traced. */
  readonly slowMs: number;
  readonly metricIntervalMs: number;
  readonly spanBatch: BatchSettings;
  readonly logBatch: BatchSettings;
}

export interface BatchSettings {
  readonly maxQueueSize: number;
  readonly maxExportBatchSize: number;
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
}

type Environment = Readonly<Record<string, string | undefined>>;
const SIGNALS = ['traces', 'metrics', 'logs'] as const;

/** Serialising a batch holds up the event loop: a quarter of the specification's 512 spans, four times as often. */
const DEFAULT_BATCH = 128;

/**
 * Reads `OTEL_*`. Pure. What the exporters read themselves (headers, timeout, compression, certificates) is left to
 * them.
 * @param slowMs from the process's own configuration.
 * @param problems is given one line for each value that cannot be used.
 */
export function readTelemetrySettings(
  env: Environment,
  slowMs: number,
  problems: string[],
): TelemetrySettings {
  const integer = (name: string, fallback: number, lowest = 1) => {
    const text = env[name]?.trim();
    if (text === undefined || text === '') return fallback;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= lowest) return value;
    problems.push(`${name}=${JSON.stringify(text)}: expected an integer from ${lowest}`);
    return fallback;
  };
  return {
    endpoints: endpointsOf(env, problems),
    resource: resourceOf(env, problems),
    sampler: samplerOf(env, problems),
    slowMs,
    metricIntervalMs: integer('OTEL_METRIC_EXPORT_INTERVAL', 60_000),
    spanBatch: {
      maxQueueSize: integer('OTEL_BSP_MAX_QUEUE_SIZE', 2048),
      maxExportBatchSize: integer('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', DEFAULT_BATCH),
      scheduledDelayMillis: integer('OTEL_BSP_SCHEDULE_DELAY', 5000, 0),
      exportTimeoutMillis: integer('OTEL_BSP_EXPORT_TIMEOUT', 30_000),
    },
    logBatch: {
      maxQueueSize: integer('OTEL_BLRP_MAX_QUEUE_SIZE', 2048),
      maxExportBatchSize: integer('OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', DEFAULT_BATCH),
      scheduledDelayMillis: integer('OTEL_BLRP_SCHEDULE_DELAY', 1000, 0),
      exportTimeoutMillis: integer('OTEL_BLRP_EXPORT_TIMEOUT', 30_000),
    },
  };
}

function endpointsOf(env: Environment, problems: string[]): TelemetrySettings['endpoints'] {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return {};
  const found: { -readonly [K in (typeof SIGNALS)[number]]?: string } = {};
  for (const signal of SIGNALS) {
    const upper = signal.toUpperCase();
    const exporter = env[`OTEL_${upper}_EXPORTER`]?.trim() || 'otlp';
    if (exporter === 'none') continue;
    if (exporter !== 'otlp')
      problems.push(`OTEL_${upper}_EXPORTER=${JSON.stringify(exporter)}: expected otlp or none`);
    const own = env[`OTEL_EXPORTER_OTLP_${upper}_ENDPOINT`]?.trim();
    const base = env['OTEL_EXPORTER_OTLP_ENDPOINT']?.trim();
    const text = own || (base && `${base.replace(/\/+$/, '')}/v1/${signal}`);
    if (!text) continue;
    const protocol =
      env[`OTEL_EXPORTER_OTLP_${upper}_PROTOCOL`]?.trim() || env['OTEL_EXPORTER_OTLP_PROTOCOL']?.trim();
    if (protocol && protocol !== 'http/protobuf')
      problems.push(`OTEL_EXPORTER_OTLP_PROTOCOL=${JSON.stringify(protocol)}: expected http/protobuf`);
    // The URL itself is not shown: a password can stand in it.
    if (isHttpUrl(text)) found[signal] = text;
    else problems.push(`OTEL_EXPORTER_OTLP_ENDPOINT of ${signal}: expected an http or https URL`);
  }
  return found;
}

function resourceOf(env: Environment, problems: string[]): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const pair of (env['OTEL_RESOURCE_ATTRIBUTES'] ?? '').split(',')) {
    if (pair.trim() === '') continue;
    const [, name, value = ''] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    const text = percentDecoded(value);
    if (name === undefined || text === undefined)
      problems.push(`OTEL_RESOURCE_ATTRIBUTES: ${JSON.stringify(pair)} is not name=value`);
    else attributes[name] = text;
  }
  const serviceName = env['OTEL_SERVICE_NAME']?.trim();
  return serviceName ? { ...attributes, 'service.name': serviceName } : attributes;
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function samplerOf(env: Environment, problems: string[]): SamplerSettings {
  const name = env['OTEL_TRACES_SAMPLER']?.trim() || 'parentbased_always_on';
  const parentBased = name.startsWith('parentbased_');
  switch (name.replace(/^parentbased_/, '')) {
    case 'always_on':
      return { parentBased, ratio: 1 };
    case 'always_off':
      return { parentBased, ratio: 0 };
    case 'traceidratio': {
      const text = env['OTEL_TRACES_SAMPLER_ARG']?.trim() || '1';
      const ratio = /^\d*\.?\d+(e-?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
      if (ratio >= 0 && ratio <= 1) return { parentBased, ratio };
      problems.push(`OTEL_TRACES_SAMPLER_ARG=${JSON.stringify(text)}: expected a number from 0 to 1`);
      return { parentBased, ratio: 1 };
    }
    default:
      problems.push(
        `OTEL_TRACES_SAMPLER=${JSON.stringify(name)}: expected always_on, always_off, traceidratio, or one of them after parentbased_`,
      );
      return { parentBased: true, ratio: 1 };
  }
}
