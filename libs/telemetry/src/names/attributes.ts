/**
 * Every attribute and label of Mayfly's telemetry. The `faas.*`, `http.*`, `messaging.*`, `error.*` ones are those of
 * the OpenTelemetry semantic conventions at `SCHEMA_URL`; what they have no word for begins with `mayfly.`.
 */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.44.0';

export const ATTRIBUTES = {
  serviceNamespace: 'service.namespace',
  serviceName: 'service.name',
  serviceVersion: 'service.version',
  serviceInstanceId: 'service.instance.id',
  hostName: 'host.name',
  hostId: 'host.id',
  cloudResourceId: 'cloud.resource_id',

  httpMethod: 'http.request.method',
  httpRoute: 'http.route',
  httpStatus: 'http.response.status_code',
  urlPath: 'url.path',
  errorType: 'error.type',

  messagingSystem: 'messaging.system',
  messagingDestination: 'messaging.destination.name',
  messagingOperation: 'messaging.operation.name',
  messagingOperationType: 'messaging.operation.type',
  messagingMessageId: 'messaging.message.id',
  messagingBodySize: 'messaging.message.body.size',
  messagingBatchCount: 'messaging.batch.message_count',

  faasName: 'faas.name',
  faasVersion: 'faas.version',
  faasInstance: 'faas.instance',
  faasMaxMemory: 'faas.max_memory',
  faasInvokedName: 'faas.invoked_name',
  faasTrigger: 'faas.trigger',
  faasInvocationId: 'faas.invocation_id',
  faasColdstart: 'faas.coldstart',

  tenant: 'mayfly.tenant.id',
  entrypoint: 'mayfly.entrypoint',
  outcome: 'mayfly.outcome',
  lane: 'mayfly.lane',
  attempt: 'mayfly.attempt',
  /** `queue`, `acquire`, `restore`, `run`, `result`. */
  phase: 'mayfly.phase',
  /** Why a call was not let in: the error's word in the API, such as `too-many-requests`. */
  reason: 'mayfly.reason',
  /** Which limit it met, as the problem's `limit.name` says; `none` where there is none. */
  limit: 'mayfly.limit',
  queueDepth: 'mayfly.queue.depth',
  quotaDecision: 'mayfly.quota.decision',
  worker: 'mayfly.worker.id',
  /** `warm`, `snapshot` or `boot`. */
  vmSource: 'mayfly.vm.source',
  /** Of slots: `idle` or `busy`. Of sandboxes: `idle` or `leased`. */
  vmState: 'mayfly.vm.state',
  vmDirtyPages: 'mayfly.vm.dirty_pages',
  vmExits: 'mayfly.vm.exits',
  vmHostCalls: 'mayfly.vm.host_calls',
  vmCpuUs: 'mayfly.vm.cpu_us',
  phaseQueueUs: 'mayfly.phase.queue_us',
  phaseAcquireUs: 'mayfly.phase.acquire_us',
  phaseRestoreUs: 'mayfly.phase.restore_us',
  phaseRunUs: 'mayfly.phase.run_us',
  phaseResultUs: 'mayfly.phase.result_us',
  jobState: 'bullmq.job.state',
  signal: 'mayfly.signal',
  /** `stdout` for what a guest printed, `log` for its log records, `initialisation` for the tail of one that failed. */
  logStream: 'log.iostream',
  droppedRecords: 'mayfly.log.dropped_records',
  guestSpansDropped: 'mayfly.guest.dropped_spans',
  guestEventsDropped: 'mayfly.guest.dropped_events',

  cpuMode: 'cpu.mode',
  /** As the reference host names its labels (guest-abi 13). */
  guestErrorCode: 'code',
  guestFunctionName: 'function_name',
} as const;

/** The value that stands for all that are not among the busiest of a bounded label. */
export const OTHER = 'other';
/** How many functions, tenants, or names a bounded label tells apart. */
export const BUSIEST = 200;
