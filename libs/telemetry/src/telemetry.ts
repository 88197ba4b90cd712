import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { LogData } from './logs/log-data.js';
import { Metrics } from './metrics/metrics.js';
import { observeProcess } from './metrics/process-metrics.js';
import { ATTRIBUTES as A } from './names/attributes.js';
import type { Process } from './names/metrics.js';
import type { TelemetrySettings } from './settings.js';
import { Sampling } from './trace/sampling.js';
import type { SpanData } from './trace/span-data.js';

export interface TelemetryOptions<P extends Process> {
  readonly process: P;
  /** Tells this process from others of its kind. */
  readonly instanceId: string;
  readonly version: string;
  readonly settings: TelemetrySettings;
  /** The collector cannot be reached, or refuses: at most once in half a minute. */
  readonly onProblem: (error: unknown) => void;
}

/** What a process that exports traces needs to make them. */
export interface Tracing {
  readonly sampling: Sampling;
  export(span: SpanData): void;
}

export interface Telemetry<P extends Process = Process> {
  readonly metrics: Metrics<P>;
  /** Of this process, for `target_info`. */
  readonly resource: Readonly<Record<string, string>>;
  /** Absent: traces go nowhere, so none are made. */
  readonly tracing?: Tracing;
  /** Absent: guest logs go nowhere but into records. */
  readonly exportLog?: (log: LogData) => void;
  /** Sends what waits, for at most `limitMs`, and ends. Never rejects. */
  shutdown(limitMs: number): Promise<void>;
}

const PROBLEM_INTERVAL_MS = 30_000;

/** Metrics that are only kept, for tests and for users of the library without a collector. */
export function localTelemetry<P extends Process>(process: P): Telemetry<P> {
  return { metrics: new Metrics(process), resource: {}, shutdown: () => Promise.resolve() };
}

/** Starts the telemetry of a process. Without an endpoint nothing of the SDK is loaded, and only metrics are kept. */
export async function startTelemetry<P extends Process>(options: TelemetryOptions<P>): Promise<Telemetry<P>> {
  const { process, instanceId, version, settings } = options;
  const metrics = new Metrics(process);
  observeProcess(metrics as Metrics<'gateway'> | Metrics<'worker'>);
  const resource = {
    [A.serviceName]: `mayfly-${process}`,
    [A.serviceVersion]: version,
    [A.serviceInstanceId]: instanceId,
    [A.hostName]: hostname(),
    ...hostId(),
    ...settings.resource,
  };
  if (Object.keys(settings.endpoints).length === 0)
    return { metrics, resource, shutdown: () => Promise.resolve() };

  const { startOtlp } = await import('./sdk/otlp.js');
  const { telemetryDropped } = (metrics as unknown as Metrics<Process>).instruments;
  const otlp = startOtlp({
    settings,
    resource,
    metrics,
    onLost: (signal, count) => telemetryDropped.add(count, signal),
    onProblem: atMostEvery(PROBLEM_INTERVAL_MS, options.onProblem),
  });
  const { exportSpan, exportLog } = otlp;
  return {
    metrics,
    resource,
    ...(exportSpan && {
      tracing: { sampling: new Sampling(settings.sampler, settings.slowMs), export: exportSpan },
    }),
    ...(exportLog && { exportLog }),
    shutdown: (limitMs) => atMost(otlp.shutdown(), limitMs),
  };
}

/** As systemd keeps it; a host without one has no id. */
function hostId(): Record<string, string> {
  try {
    const id = readFileSync('/etc/machine-id', 'utf8').trim();
    return id === '' ? {} : { [A.hostId]: id };
  } catch {
    return {};
  }
}

function atMostEvery(intervalMs: number, report: (error: unknown) => void): (error: unknown) => void {
  let quietUntilMs = 0;
  return (error) => {
    const nowMs = performance.now();
    if (nowMs < quietUntilMs) return;
    quietUntilMs = nowMs + intervalMs;
    report(error);
  };
}

async function atMost(work: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}
