import { randomBytes } from 'node:crypto';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { ISOLATIONS, type Isolation, parseRedisUrl } from '@mayfly/contracts';
import { readTelemetrySettings, type TelemetrySettings } from '@mayfly/telemetry';
import { workerError } from './errors.js';

export interface WorkerConfig {
  /** Folder of the blob store. */
  readonly dataDirectory: string;
  /** `redis://…`, `rediss://…`, or `redis+unix://[user:password@host]/path/to/socket`. */
  readonly redisUrl: string;
  /** Names this process in records, heartbeat and jobs. */
  readonly workerId: string;
  /** Calls that run at once: vCPU threads. */
  readonly slots: number;
  /** Calls that may wait at the slots' own queues beyond those that run, so that a slot goes on without JavaScript. */
  readonly callsAhead: number;
  /** Jobs that each lane takes at once. */
  readonly jobsAtOnce: number;
  /** Sandboxes, leased and idle. */
  readonly maxSandboxes: number;
  /** Guest memory of sandboxes and snapshots, counted at full size. */
  readonly maxMemoryBytes: number;
  /** VM shells made ahead; as many closed VMs are kept for the next sandbox of their version. */
  readonly spareShells: number;
  /** What a guest's initialisation may take. */
  readonly initTimeoutMs: number;
  /** What running calls get to end after SIGTERM. */
  readonly drainGraceMs: number;
  /** Where the core runs: a jailed process a tenant, or threads of this process, for one tenant. */
  readonly isolation: Isolation;
  /** Whom a worker with isolation `thread` serves. */
  readonly tenant: string;
  /** Cells made ahead, cells that have a tenant, and what one may idle. */
  readonly spareCells: number;
  readonly maxCells: number;
  readonly cellIdleMs: number;
  /** Whether cells may serve without all of their jail. */
  readonly allowIncompleteJail: 'yes' | 'no';
  /** A delegated cgroup (version 2), below which each cell gets one; empty: none. */
  readonly cellCgroup: string;
  /** The operator's keys that open secrets; empty: none. */
  readonly secretsKeyFile: string;
  /** Deaths of a worker that single a version out before no worker runs it any more; 0: none do. */
  readonly quarantineDeaths: number;
  readonly logLevel: LogLevel;
  /** Where `/metrics` is served. */
  readonly metricsHost: string;
  /** 0 lets the system choose. */
  readonly metricsPort: number;
  /** Calls that take longer are always traced. */
  readonly traceSlowMs: number;
  /** What `OTEL_*` says. */
  readonly telemetry: TelemetrySettings;
}

/** What a variable of ours says, each. */
type Variables = Omit<WorkerConfig, 'telemetry'>;

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

type Parsed<T> = { readonly value: T } | { readonly expected: string };

interface Setting<T> {
  readonly variable: string;
  readonly parse: (text: string) => Parsed<T>;
  /** Absent: the variable is required. */
  readonly fallback?: () => T;
}

const MIB = 1024 * 1024;
const cores = () => availableParallelism();

/** Every variable of this process; nothing else reads the environment. */
const SETTINGS: { readonly [K in keyof Variables]: Setting<Variables[K]> } = {
  dataDirectory: { variable: 'MAYFLY_DATA_DIR', parse: path, fallback: () => resolve('.mayfly') },
  redisUrl: { variable: 'MAYFLY_REDIS_URL', parse: redisUrl },
  workerId: {
    variable: 'MAYFLY_WORKER_ID',
    parse: pattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/),
    fallback: () =>
      `w-${hostname()
        .replace(/[^A-Za-z0-9._-]/g, '-')
        .slice(0, 64)}-${randomBytes(4).toString('hex')}`,
  },
  // The driver's own limits, so that a worker does not come up to be refused by it.
  slots: { variable: 'MAYFLY_WORKER_SLOTS', parse: integer(1, 256), fallback: () => Math.min(256, cores()) },
  callsAhead: {
    variable: 'MAYFLY_WORKER_CALLS_AHEAD',
    parse: integer(0, 1024),
    fallback: () => 2 * cores(),
  },
  jobsAtOnce: {
    variable: 'MAYFLY_WORKER_JOBS_AT_ONCE',
    parse: integer(1, 1024),
    fallback: () => Math.max(4, cores() * 2),
  },
  maxSandboxes: {
    variable: 'MAYFLY_WORKER_MAX_SANDBOXES',
    parse: integer(1, 1_000_000),
    fallback: () => 512,
  },
  maxMemoryBytes: {
    variable: 'MAYFLY_WORKER_MAX_MEMORY_BYTES',
    parse: integer(64 * MIB, Number.MAX_SAFE_INTEGER),
    fallback: () => Math.floor(totalmem() / 2),
  },
  spareShells: { variable: 'MAYFLY_WORKER_SPARE_SHELLS', parse: integer(0, 64), fallback: () => 2 },
  initTimeoutMs: {
    variable: 'MAYFLY_WORKER_INIT_TIMEOUT_MS',
    parse: integer(1, 600_000),
    fallback: () => 5_000,
  },
  drainGraceMs: {
    variable: 'MAYFLY_WORKER_DRAIN_GRACE_MS',
    parse: integer(0, 3_600_000),
    fallback: () => 32_000,
  },
  isolation: { variable: 'MAYFLY_ISOLATION', parse: oneOf(ISOLATIONS), fallback: () => 'process' },
  tenant: {
    variable: 'MAYFLY_TENANT',
    parse: pattern(/^[a-z0-9][a-z0-9-]{0,62}$/),
    fallback: () => 'default',
  },
  spareCells: { variable: 'MAYFLY_WORKER_SPARE_CELLS', parse: integer(0, 64), fallback: () => 1 },
  maxCells: { variable: 'MAYFLY_WORKER_MAX_CELLS', parse: integer(1, 4096), fallback: () => 64 },
  cellIdleMs: {
    variable: 'MAYFLY_WORKER_CELL_IDLE_MS',
    parse: integer(1_000, 86_400_000),
    fallback: () => 900_000,
  },
  allowIncompleteJail: {
    variable: 'MAYFLY_WORKER_ALLOW_INCOMPLETE_JAIL',
    parse: oneOf(['yes', 'no']),
    fallback: () => 'no',
  },
  cellCgroup: { variable: 'MAYFLY_WORKER_CELL_CGROUP', parse: path, fallback: () => '' },
  secretsKeyFile: { variable: 'MAYFLY_SECRETS_KEY_FILE', parse: path, fallback: () => '' },
  quarantineDeaths: {
    variable: 'MAYFLY_WORKER_QUARANTINE_DEATHS',
    parse: integer(0, 100),
    fallback: () => 2,
  },
  logLevel: { variable: 'MAYFLY_WORKER_LOG_LEVEL', parse: oneOf(LOG_LEVELS), fallback: () => 'info' },
  metricsHost: {
    variable: 'MAYFLY_METRICS_HOST',
    parse: pattern(/^[A-Za-z0-9.:_-]{1,255}$/),
    fallback: () => '127.0.0.1',
  },
  metricsPort: { variable: 'MAYFLY_WORKER_METRICS_PORT', parse: integer(0, 65_535), fallback: () => 9465 },
  traceSlowMs: { variable: 'MAYFLY_TRACE_SLOW_MS', parse: integer(1, 3_600_000), fallback: () => 1_000 },
};

/**
 * Reads the worker's configuration. Pure; the result is frozen.
 * @throws MAYFLY_ERR_CONFIG with every problem, one a line: a bad value, a missing one, an unknown `MAYFLY_WORKER_*`. A
 * secret's text is in none of them.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): WorkerConfig {
  const settings = Object.entries(SETTINGS) as [keyof Variables, Setting<unknown>][];
  const known = new Set(settings.map(([, { variable }]) => variable));
  const problems = Object.keys(env)
    .filter((name) => name.startsWith('MAYFLY_WORKER_') && !known.has(name))
    .map((name) => `${name}: unknown variable`);

  const values: Partial<Record<keyof Variables, unknown>> = {};
  for (const [field, { variable, parse, fallback }] of settings) {
    const raw = env[variable];
    if (raw === undefined || raw === '') {
      if (fallback) values[field] = fallback();
      else problems.push(`${variable}: required`);
      continue;
    }
    const parsed = parse(raw);
    if ('value' in parsed) values[field] = parsed.value;
    else problems.push(`${variable}=${shown(variable, raw)}: expected ${parsed.expected}`);
  }
  const variables = values as Variables;
  const telemetry = readTelemetrySettings(env, variables.traceSlowMs, problems);
  const config: WorkerConfig = { ...variables, telemetry };
  const callsInFlight = config.slots + config.callsAhead;
  if (callsInFlight > config.maxSandboxes)
    problems.push(
      `${SETTINGS.maxSandboxes.variable}: expected at least slots + calls ahead, ${callsInFlight}`,
    );
  if (problems.length > 0)
    throw workerError('MAYFLY_ERR_CONFIG', problems.join('\n'), { details: { problems } });
  return Object.freeze(config);
}

/** A password can stand in the URL. */
function shown(variable: string, raw: string): string {
  return variable === SETTINGS.redisUrl.variable ? '(not shown)' : JSON.stringify(raw);
}

function path(raw: string): Parsed<string> {
  return raw.includes('\0') ? { expected: 'a path without NUL' } : { value: resolve(raw) };
}

function pattern(regex: RegExp) {
  return (raw: string): Parsed<string> =>
    regex.test(raw) ? { value: raw } : { expected: `text that matches ${regex.source}` };
}

function integer(lowest: number, highest: number) {
  return (raw: string): Parsed<number> => {
    const value = /^\d{1,16}$/.test(raw) ? Number(raw) : Number.NaN;
    return value >= lowest && value <= highest
      ? { value }
      : { expected: `an integer from ${lowest} to ${highest}` };
  };
}

function oneOf<const T extends readonly string[]>(words: T) {
  return (raw: string): Parsed<T[number]> =>
    words.includes(raw) ? { value: raw } : { expected: `one of ${words.join(', ')}` };
}

function redisUrl(raw: string): Parsed<string> {
  return parseRedisUrl(raw) === undefined
    ? { expected: 'redis://host:port, rediss://host:port or redis+unix:///path/to/socket' }
    : { value: raw };
}
