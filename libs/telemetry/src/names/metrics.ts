import { ATTRIBUTES as A } from './attributes.js';

export type MetricType = 'counter' | 'up-down-counter' | 'gauge' | 'histogram';
export type Process = 'gateway' | 'worker';

/** Labels whose values anybody can make up: the busiest `BUSIEST` are told apart, the rest is `OTHER`. */
export interface Bounded {
  /** How many of the metric's first labels are bounded, their values together. */
  readonly labels: number;
  /** Metrics of one group tell the same values apart. */
  readonly group: string;
}

export interface MetricDefinition {
  /** As OTLP carries it; `prometheusName` says how Prometheus does. */
  readonly name: string;
  readonly type: MetricType;
  /** UCUM. */
  readonly unit: string;
  readonly description: string;
  readonly labels: readonly string[];
  /** Of a histogram: upper bounds, ascending. */
  readonly buckets?: readonly number[];
  readonly bounded?: Bounded;
  readonly by: readonly Process[];
}

/** Seconds, from 10 µs: the advised bounds of the conventions begin at 5 ms, where most of our calls have ended. */
export const DURATION_BUCKETS = [
  10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 0.5,
  1, 2.5, 5, 10, 30,
] as const;
const KIB = 1024;
const MIB = 1024 * KIB;
export const SIZE_BUCKETS = [
  0,
  256,
  KIB,
  4 * KIB,
  16 * KIB,
  64 * KIB,
  256 * KIB,
  MIB,
  4 * MIB,
  16 * MIB,
  64 * MIB,
  256 * MIB,
  1024 * MIB,
] as const;
export const PAGE_BUCKETS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16_384, 65_536] as const;

const duration = { type: 'histogram', unit: 's', buckets: DURATION_BUCKETS } as const;
const size = { type: 'histogram', unit: 'By', buckets: SIZE_BUCKETS } as const;
const gateway = { by: ['gateway'] } as const;
const worker = { by: ['worker'] } as const;
const both = { by: ['gateway', 'worker'] } as const;
/** What the bounded per-function and per-tenant metrics tell apart. */
const perFunction = {
  labels: [A.tenant, A.faasName],
  bounded: { labels: 2, group: 'function' },
} as const;

/** Every metric, by the name that the code uses. */
export const METRICS = {
  // HTTP (semantic conventions)
  httpDuration: {
    ...{ name: 'http.server.request.duration', ...duration, ...gateway },
    description: 'Duration of HTTP requests',
    labels: [A.httpMethod, A.httpRoute, A.httpStatus],
  },
  httpActive: {
    ...{ name: 'http.server.active_requests', type: 'up-down-counter', unit: '{request}', ...gateway },
    description: 'HTTP requests that have no answer yet',
    labels: [A.httpMethod],
  },
  httpRequestSize: {
    ...{ name: 'http.server.request.body.size', ...size, ...gateway },
    description: 'Size of request bodies',
    labels: [A.httpMethod, A.httpRoute],
  },
  httpResponseSize: {
    ...{ name: 'http.server.response.body.size', ...size, ...gateway },
    description: 'Size of response bodies',
    labels: [A.httpMethod, A.httpRoute],
  },

  // Queue
  sendDuration: {
    ...{ name: 'messaging.client.operation.duration', ...duration, ...gateway },
    description: 'Duration of adding a job to its queue',
    labels: [A.messagingDestination, A.messagingOperation],
  },
  sentMessages: {
    ...{ name: 'messaging.client.sent.messages', type: 'counter', unit: '{message}', ...gateway },
    description: 'Jobs added to a queue',
    labels: [A.messagingDestination, A.messagingOperation],
  },
  consumedMessages: {
    ...{ name: 'messaging.client.consumed.messages', type: 'counter', unit: '{message}', ...worker },
    description: 'Jobs taken from a queue',
    labels: [A.messagingDestination, A.messagingOperation],
  },
  processDuration: {
    ...{ name: 'messaging.process.duration', ...duration, ...worker },
    description: 'Duration of processing a job, all its invocations together',
    labels: [A.messagingDestination, A.errorType],
  },
  queueDuration: {
    ...{ name: 'mayfly.queue.duration', ...duration, ...worker },
    description: 'Accepted by the gateway to taken by a worker',
    labels: [A.lane],
  },
  queueDepth: {
    ...{ name: 'mayfly.queue.depth', type: 'gauge', unit: '{job}', ...gateway },
    description: 'Jobs that no worker has taken',
    labels: [A.lane],
  },
  queueOldestAge: {
    ...{ name: 'mayfly.queue.oldest_age', type: 'gauge', unit: 's', ...gateway },
    description: 'Age of the oldest job that no worker has taken; 0 when there is none',
    labels: [A.lane],
  },
  queueJobs: {
    ...{ name: 'bullmq.queue.jobs', type: 'gauge', unit: '{job}', ...gateway },
    description: 'Jobs by state, as BullMQ counts them',
    labels: [A.messagingDestination, A.jobState],
  },
  workersAlive: {
    ...{ name: 'mayfly.workers.alive', type: 'gauge', unit: '{worker}', ...gateway },
    description: 'Workers whose heartbeat is fresh',
    labels: [],
  },

  // Admission
  tenantThrottled: {
    ...{ name: 'mayfly.tenant.throttled', type: 'counter', unit: '{invocation}', ...gateway },
    description: 'Calls that were not let in',
    labels: [A.tenant, A.reason, A.limit],
    bounded: { labels: 1, group: 'tenant' },
  },
  tenantInFlight: {
    ...{ name: 'mayfly.tenant.inflight', type: 'up-down-counter', unit: '{invocation}', ...gateway },
    description: 'Sync calls whose callers wait',
    labels: [A.tenant],
    bounded: { labels: 1, group: 'tenant' },
  },
  dispatchFailures: {
    ...{ name: 'mayfly.dispatch.failures', type: 'counter', unit: '{invocation}', ...gateway },
    description: 'Accepted calls that no worker answered in time',
    labels: [A.errorType],
  },

  cancels: {
    ...{ name: 'mayfly.invocation.cancels', type: 'counter', unit: '{invocation}', ...gateway },
    description: 'Invocations canceled by request, or by a client that went away',
    labels: [A.reason],
  },
  deadLetterDepth: {
    ...{ name: 'mayfly.dead_letter.depth', type: 'gauge', unit: '{invocation}', ...gateway },
    description: 'Async calls that were given up, and neither redriven nor purged',
    labels: [],
  },
  deadLetterOldestAge: {
    ...{ name: 'mayfly.dead_letter.oldest_age', type: 'gauge', unit: 's', ...gateway },
    description: 'Age of the oldest dead letter; 0 when there is none',
    labels: [],
  },
  callbackAttempts: {
    ...{ name: 'mayfly.callback.attempts', type: 'counter', unit: '{attempt}', ...gateway },
    description: 'Attempts to tell the end of an invocation to who asked for it: delivered, or why not',
    labels: [A.reason],
  },

  // Invocations (semantic conventions where they have a name)
  retries: {
    ...{ name: 'mayfly.invocation.retries', type: 'counter', unit: '{attempt}', ...worker },
    description: 'Attempts at async calls that are followed by another one, by how they ended',
    labels: [A.outcome],
  },
  deadLettered: {
    ...{ name: 'mayfly.invocation.dead_lettered', type: 'counter', unit: '{invocation}', ...worker },
    description: 'Async calls that were given up',
    labels: [A.outcome],
  },
  invokeDuration: {
    ...{ name: 'faas.invoke_duration', ...duration, ...worker },
    description: 'Duration of invocations, from their acceptance to their result',
    labels: [A.faasTrigger, A.outcome],
  },
  invocations: {
    ...{ name: 'faas.invocations', type: 'counter', unit: '{invocation}', ...worker },
    description: 'Invocations that succeeded',
    labels: [A.faasTrigger],
  },
  errors: {
    ...{ name: 'faas.errors', type: 'counter', unit: '{error}', ...worker },
    description: 'Invocations that did not succeed, by outcome',
    labels: [A.faasTrigger, A.errorType],
  },
  timeouts: {
    ...{ name: 'faas.timeouts', type: 'counter', unit: '{timeout}', ...worker },
    description: 'Invocations that exceeded their time limit',
    labels: [A.faasTrigger],
  },
  coldstarts: {
    ...{ name: 'faas.coldstarts', type: 'counter', unit: '{coldstart}', ...worker },
    description: 'Invocations that waited for a version to be initialised or a sandbox to be made',
    labels: [A.vmSource],
  },
  initDuration: {
    ...{ name: 'faas.init_duration', ...duration, ...worker },
    description: 'Time until a cold start had its sandbox',
    labels: [A.vmSource],
  },
  memoryUsage: {
    ...{ name: 'faas.mem_usage', ...size, ...worker },
    description: 'Guest memory that an invocation wrote to',
    labels: [],
  },
  cpuUsage: {
    ...{ name: 'faas.cpu_usage', ...duration, ...worker },
    description: 'CPU time of the vCPU thread in an invocation',
    labels: [],
  },
  phaseDuration: {
    ...{ name: 'mayfly.phase.duration', ...duration, ...worker },
    description: 'Duration of each phase of invocations: queue, acquire, restore, run, result',
    labels: [A.phase],
  },
  overheadDuration: {
    ...{ name: 'mayfly.overhead.duration', ...duration, ...worker },
    description: 'What the platform added to invocations: their total less their run',
    labels: [],
  },
  functionInvocations: {
    ...{ name: 'mayfly.function.invocations', type: 'counter', unit: '{invocation}', ...worker },
    description: 'Invocations of the busiest functions, by outcome',
    ...perFunction,
    labels: [...perFunction.labels, A.outcome],
  },
  functionDuration: {
    ...{ name: 'mayfly.function.duration', ...duration, ...worker },
    description: 'Duration of invocations of the busiest functions',
    ...perFunction,
  },
  functionCpu: {
    ...{ name: 'mayfly.function.cpu', type: 'counter', unit: 's', ...worker },
    description: 'CPU time of the vCPU threads for the busiest functions',
    ...perFunction,
  },

  // Guest ABI (names and labels of the reference host, guest-abi 13)
  guestErrors: {
    ...{ name: 'guest_errors', type: 'counter', unit: '{error}', ...worker },
    description: 'Calls that a guest answered with an error, by its decimal code',
    labels: [A.guestErrorCode],
    bounded: { labels: 1, group: 'guest error' },
  },
  guestCancellations: {
    ...{ name: 'guest_cancellations', type: 'counter', unit: '{cancellation}', ...worker },
    description: 'Calls that were killed or ran into their deadline',
    labels: [],
  },
  guestCallDuration: {
    ...{ name: 'guest_call_duration', ...duration, ...worker },
    description: 'Duration of guest calls in their sandbox, failed ones included',
    labels: [A.guestFunctionName],
    bounded: { labels: 1, group: 'guest function' },
  },
  hostCallDuration: {
    ...{ name: 'host_call_duration', ...duration, ...worker },
    description: 'Duration of host functions',
    labels: [A.guestFunctionName],
    bounded: { labels: 1, group: 'host function' },
  },

  // VMs and pool
  vmSlots: {
    ...{ name: 'mayfly.vm.slots', type: 'up-down-counter', unit: '{vm}', ...worker },
    description: 'vCPU threads',
    labels: [A.vmState],
  },
  restoreDuration: {
    ...{ name: 'mayfly.vm.restore.duration', ...duration, ...worker },
    description: 'Duration of bringing a sandbox back to its snapshot',
    labels: [A.vmSource],
  },
  dirtyPages: {
    ...{ name: 'mayfly.vm.dirty_pages', type: 'histogram', unit: '{page}', buckets: PAGE_BUCKETS, ...worker },
    description: 'Pages that a restore copied back',
    labels: [A.vmSource],
  },
  vmExits: {
    ...{ name: 'mayfly.vm.exits', type: 'counter', unit: '{exit}', ...worker },
    description: 'VM exits',
    labels: [],
  },
  poolSandboxes: {
    ...{ name: 'mayfly.pool.sandboxes', type: 'up-down-counter', unit: '{sandbox}', ...worker },
    description: 'Sandboxes in the pool',
    labels: [A.vmState],
  },
  poolSandboxesLimit: {
    ...{ name: 'mayfly.pool.sandboxes.limit', type: 'gauge', unit: '{sandbox}', ...worker },
    description: 'Sandboxes that the pool may hold',
    labels: [],
  },
  poolMemory: {
    ...{ name: 'mayfly.pool.memory', type: 'up-down-counter', unit: 'By', ...worker },
    description: 'Guest memory of sandboxes and snapshots, at full size',
    labels: [],
  },
  poolMemoryLimit: {
    ...{ name: 'mayfly.pool.memory.limit', type: 'gauge', unit: 'By', ...worker },
    description: 'Guest memory that the pool may hold',
    labels: [],
  },
  poolVersions: {
    ...{ name: 'mayfly.pool.versions', type: 'up-down-counter', unit: '{version}', ...worker },
    description: 'Versions that are initialised',
    labels: [],
  },
  snapshotBuildDuration: {
    ...{ name: 'mayfly.snapshot.build.duration', ...duration, ...worker },
    description: 'Duration of initialising a version and taking its snapshot',
    labels: [A.outcome],
  },
  snapshotSize: {
    ...{ name: 'mayfly.snapshot.size', ...size, ...worker },
    description: 'Guest memory of snapshots that were taken',
    labels: [],
  },
  snapshotHits: {
    ...{ name: 'mayfly.snapshot.cache.hits', type: 'counter', unit: '{invocation}', ...worker },
    description: 'Invocations whose version was initialised already',
    labels: [],
  },
  snapshotMisses: {
    ...{ name: 'mayfly.snapshot.cache.misses', type: 'counter', unit: '{invocation}', ...worker },
    description: 'Invocations that waited for their version to be initialised',
    labels: [],
  },
  hostFaults: {
    ...{ name: 'mayfly.host.faults', type: 'counter', unit: '{fault}', ...worker },
    description: 'Faults of the host, by error code',
    labels: [A.errorType],
    bounded: { labels: 1, group: 'host fault' },
  },

  // The processes themselves
  cpuTime: {
    ...{ name: 'process.cpu.time', type: 'counter', unit: 's', ...both },
    description: 'CPU time of the process',
    labels: [A.cpuMode],
  },
  residentMemory: {
    ...{ name: 'process.memory.usage', type: 'up-down-counter', unit: 'By', ...both },
    description: 'Resident memory of the process',
    labels: [],
  },
  eventLoopUtilization: {
    ...{ name: 'nodejs.eventloop.utilization', type: 'gauge', unit: '1', ...both },
    description: 'Share of time in which the event loop was busy, since the last reading',
    labels: [],
  },
  telemetryDropped: {
    ...{ name: 'mayfly.telemetry.dropped', type: 'counter', unit: '{record}', ...both },
    description: 'Spans and log records that did not reach the collector',
    labels: [A.signal],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof METRICS;
