import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { isKvmKind, isTenantName, type KvmKind, parseRedisUrl, type RedisAddress } from '@mayfly/contracts';
import { readTelemetrySettings, type TelemetrySettings } from '@mayfly/telemetry';
import { gatewayError } from './errors.js';
import { AllowList } from './outbound/allow-list.js';

export interface GatewayConfig {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  readonly redis: RedisAddress;
  readonly tenant: string;
  /** Absent: no tenant is made at the start. */
  readonly tenantKey: string | undefined;
  /** The kind of KVM that may run the tenant's code. */
  readonly tenantRequiresKvm: KvmKind | 'any';
  /** Whose tokens are taken beside keys, without a slash at the end. Absent: nobody's. */
  readonly oidcIssuer: string | undefined;
  /** What a token must be for. */
  readonly oidcAudience: string | undefined;
  /** Claim that names the tenant. */
  readonly oidcTenantClaim: string;
  /** Claim that holds the scopes: words in one text, or a list. */
  readonly oidcScopesClaim: string;
  readonly gatewayId: string;
  /** The operator's keys that seal and open secrets; empty: none. */
  readonly secretsKeyFile: string;
  /** Where callbacks may go beyond the public internet. */
  readonly outboundAllow: AllowList;
  /** Sync calls that may wait in this gateway at once; more are answered 503. */
  readonly maxInFlight: number;
  /** Sync calls of one tenant that may wait at once; more are answered 429. */
  readonly tenantMaxInFlight: number;
  /** Jobs that may wait in a queue before new calls for it are answered 503. */
  readonly maxQueueDepth: number;
  /** How long a drain waits for calls in flight. */
  readonly drainMs: number;
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
type Variables = Omit<GatewayConfig, 'telemetry'>;

interface Key<T> {
  readonly name: string;
  readonly fallback?: () => T;
  /** @returns undefined for text that is no such value. */
  readonly read: (text: string) => T | undefined;
  readonly expected: string;
}

const integer = (
  name: string,
  fallback: number,
  [lowest, highest]: readonly [number, number],
): Key<number> => ({
  name,
  fallback: () => fallback,
  read: (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return value >= lowest && value <= highest ? value : undefined;
  },
  expected: `an integer from ${lowest} to ${highest}`,
});

const CLAIM: Pick<Key<string>, 'read' | 'expected'> = {
  read: (text) => (/^[\x21-\x7e]{1,128}$/.test(text) ? text : undefined),
  expected: 'the name of a claim',
};

/** Keys that come over plain HTTP are anybody's; on one's own host that is nobody else. */
function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, search, hash, username } = new URL(text);
  const isLocal = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
  if (search !== '' || hash !== '' || username !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLocal);
}

/** One entry per setting: its variable, its default, how it is read. */
const KEYS: { readonly [K in keyof Variables]: Key<Variables[K]> } = {
  host: {
    name: 'MAYFLY_HOST',
    fallback: () => '127.0.0.1',
    read: (text) => (/^[A-Za-z0-9.:_-]{1,255}$/.test(text) ? text : undefined),
    expected: 'a host name or an address',
  },
  port: integer('MAYFLY_PORT', 8080, [0, 65_535]),
  dataDir: {
    name: 'MAYFLY_DATA_DIR',
    fallback: () => resolve('.mayfly'),
    read: (text) => (text.includes('\0') ? undefined : resolve(text)),
    expected: 'a path',
  },
  redis: {
    name: 'MAYFLY_REDIS_URL',
    fallback: () => ({ host: '127.0.0.1', port: 6379 }),
    read: parseRedisUrl,
    expected: 'redis://host:port, rediss://host:port or redis+unix:///path',
  },
  tenant: {
    name: 'MAYFLY_TENANT',
    fallback: () => 'default',
    read: (text) => (isTenantName(text) ? text : undefined),
    expected: 'up to 63 of a-z 0-9 -, not beginning with -',
  },
  tenantKey: {
    name: 'MAYFLY_TENANT_KEY',
    fallback: () => undefined,
    read: (text) => (/^[\x21-\x7e]{8,512}$/.test(text) ? text : undefined),
    expected: '8 to 512 printable ASCII characters without spaces',
  },
  tenantRequiresKvm: {
    name: 'MAYFLY_TENANT_REQUIRES_KVM',
    fallback: () => 'any',
    read: (text) => (text === 'any' || isKvmKind(text) ? text : undefined),
    expected: 'any, hardware or software',
  },
  oidcIssuer: {
    name: 'MAYFLY_GATEWAY_OIDC_ISSUER',
    fallback: () => undefined,
    read: (text) => (isIssuer(text) ? text : undefined),
    expected: 'an https URL without query, as the tokens’ iss has it',
  },
  oidcAudience: {
    name: 'MAYFLY_GATEWAY_OIDC_AUDIENCE',
    fallback: () => undefined,
    read: (text) => (/^[\x21-\x7e]{1,256}$/.test(text) ? text : undefined),
    expected: 'up to 256 printable ASCII characters without spaces',
  },
  oidcTenantClaim: {
    name: 'MAYFLY_GATEWAY_OIDC_TENANT_CLAIM',
    fallback: () => 'tenant',
    ...CLAIM,
  },
  oidcScopesClaim: {
    name: 'MAYFLY_GATEWAY_OIDC_SCOPES_CLAIM',
    fallback: () => 'scope',
    ...CLAIM,
  },
  gatewayId: {
    name: 'MAYFLY_GATEWAY_ID',
    fallback: () => randomBytes(6).toString('hex'),
    read: (text) => (/^[a-z0-9-]{1,32}$/.test(text) ? text : undefined),
    expected: 'up to 32 of a-z 0-9 -',
  },
  secretsKeyFile: {
    name: 'MAYFLY_SECRETS_KEY_FILE',
    fallback: () => '',
    read: (text) => (text.includes('\0') ? undefined : resolve(text)),
    expected: 'a path',
  },
  outboundAllow: {
    name: 'MAYFLY_GATEWAY_OUTBOUND_ALLOW',
    fallback: () => AllowList.none,
    read: AllowList.parse,
    expected: 'addresses or networks with ports, such as 10.1.0.0/16:8443,[fd00::]/8:443',
  },
  maxInFlight: integer('MAYFLY_GATEWAY_MAX_IN_FLIGHT', 2048, [1, 100_000]),
  tenantMaxInFlight: integer('MAYFLY_GATEWAY_TENANT_MAX_IN_FLIGHT', 1024, [1, 100_000]),
  maxQueueDepth: integer('MAYFLY_GATEWAY_MAX_QUEUE_DEPTH', 10_000, [1, 10_000_000]),
  drainMs: integer('MAYFLY_GATEWAY_DRAIN_MS', 30_000, [0, 600_000]),
  metricsHost: {
    name: 'MAYFLY_METRICS_HOST',
    fallback: () => '127.0.0.1',
    read: (text) => (/^[A-Za-z0-9.:_-]{1,255}$/.test(text) ? text : undefined),
    expected: 'a host name or an address',
  },
  metricsPort: integer('MAYFLY_GATEWAY_METRICS_PORT', 9464, [0, 65_535]),
  traceSlowMs: integer('MAYFLY_TRACE_SLOW_MS', 1_000, [1, 3_600_000]),
};

/** Exit code of a process whose configuration is wrong (EX_CONFIG of sysexits.h). */
export const EXIT_CONFIG = 78;

/**
 * Reads the environment, once, at start.
 * @throws MAYFLY_ERR_GATEWAY_CONFIG with every problem in `details.problems`; a secret's text is in none of them.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [field, key] of Object.entries(KEYS)) {
    const text = env[key.name];
    if (text === undefined || text === '') {
      if (key.fallback === undefined) problems.push(`${key.name} is required: ${key.expected}`);
      else config[field] = key.fallback();
      continue;
    }
    const value = key.read(text);
    if (value !== undefined) config[field] = value;
    else problems.push(`${key.name}=${shown(key.name, text)}: expected ${key.expected}`);
  }
  const known = new Set(Object.values(KEYS).map((key) => key.name));
  for (const name of Object.keys(env).sort())
    if (name.startsWith('MAYFLY_GATEWAY_') && !known.has(name)) problems.push(`${name} is not a setting`);
  if (
    (config['oidcIssuer'] === undefined) !== (config['oidcAudience'] === undefined) &&
    problems.length === 0
  )
    problems.push('MAYFLY_GATEWAY_OIDC_ISSUER and MAYFLY_GATEWAY_OIDC_AUDIENCE: expected both, or none');
  const telemetry = readTelemetrySettings(env, (config as unknown as Variables).traceSlowMs, problems);
  if (problems.length > 0)
    throw gatewayError('MAYFLY_ERR_GATEWAY_CONFIG', problems.join('\n'), { details: { problems } });
  return Object.freeze({ ...config, telemetry }) as unknown as GatewayConfig;
}

function shown(name: string, text: string): string {
  return name === 'MAYFLY_TENANT_KEY' || name === 'MAYFLY_REDIS_URL' ? '(not shown)' : JSON.stringify(text);
}
