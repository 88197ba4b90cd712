import type { AliasRef } from './alias.js';
/**
 * Names in Redis. Key families go by writer, so that gateway and worker can be different Redis users: `mf:g:*` is
 * written by gateways, `mf:w:*` by workers, `mf:t:*` (tenants, keys, quotas, secrets, audit) by gateways and read by
 * workers only where a line says so; `mf:q:*` (BullMQ and the gate before it) and `mf:s:*` (what became of
 * invocations) by both, through the scripts of `libs/queue` alone.
 */
export const QUEUE_PREFIX = 'mf:q';
/** One lane now; a lane is a trust domain. Sync and async differ in stall and attempt settings. */
export const SYNC_QUEUE = '{sync-0}';
export const ASYNC_QUEUE = '{async-0}';

/** A worker whose last heartbeat is older counts as gone. */
export const WORKER_ALIVE_MS = 5_000;
/** How long a worker that is gone without a word is still listed, as dead. */
export const WORKER_LISTED_MS = 600_000;

export const keys = {
  /**
   * Hash: field `v{n}` → JSON of a version, `next` → highest number given out, `s:{sha256}` → number of the version
   * with this artifact and manifest, `settings` → JSON of what differs from `DEFAULT_SETTINGS`, `a:{alias}` → JSON of
   * an alias, `rev` → highest revision given out to either, `settingsRev` and `ar:{alias}` → theirs, `r{n}` → JSON of
   * the version's `Readiness`. Outlives its versions, so that a number is never given out twice.
   */
  function: (tenant: string, name: string) => `mf:g:fn:${tenant}:${name}`,
  /** Hash: `<tenant> <name> <version>` → JSON of `FunctionRef` of the versions that no worker has prepared yet. */
  unprepared: 'mf:g:unprepared',
  /** Hash of a function, with expiry: version → JSON of the last `ReadinessReport` that settles something. */
  ready: (tenant: string, name: string) => `mf:w:ready:${tenant}:${name}`,
  /** Hash, with expiry: `{version}:n` → calls of the alias's revision that ended in the bucket, `{version}:e` → failed. */
  aliasCounts: (tenant: string, name: string, alias: AliasRef, bucket: number) =>
    `mf:w:alias:${tenant}:${name}:${alias.name}:${alias.revision}:${bucket}`,
  /** Hash of a worker: the versions that are in its guests, by `versionKey`. */
  flights: (workerId: string) => `mf:w:flight:${workerId}`,
  /** Sorted set of the workers that keep such a hash, by when they last said so (Redis's clock). */
  flying: 'mf:w:flying',
  /** List, with expiry: JSON of the last `HostDeath`s. */
  deaths: 'mf:w:deaths',
  /** Hash: `versionKey` → JSON of `Quarantine`. One that was lifted since is void, and workers take it out. */
  quarantined: 'mf:w:quarantined',
  /** Hash: `versionKey` → epoch milliseconds (Redis's clock) when an operator lifted its quarantine. */
  lifted: 'mf:g:lifted',
  /** Hash: `versionKey` → `atMs` of the quarantine that the audit log tells of. */
  quarantineNoted: 'mf:g:quarantined',
  /** Set of function names of a tenant. */
  functionNames: (tenant: string) => `mf:g:fns:${tenant}`,
  /** Hash: function name → bytes of the artifacts of its versions. */
  storedBytes: (tenant: string) => `mf:g:stored:${tenant}`,
  /** String: JSON of `AcceptedRecord`. */
  accepted: (tenant: string, invocationId: string) => `mf:g:inv:${tenant}:${invocationId}`,
  /** String: JSON of `InvocationRecord`, whoever ended the call. Written once, by `Ledger.settle` of `libs/queue` alone. */
  record: (tenant: string, invocationId: string) => `mf:s:end:${tenant}:${invocationId}`,
  /** String: JSON of a batch that was accepted: which invocations it made. */
  batch: (tenant: string, batchId: string) => `mf:g:batch:${tenant}:${batchId}`,
  /** String: JSON of what was asked for with an `Idempotency-Key`; `digest` is of the key and its scope. */
  idempotency: (tenant: string, digest: string) => `mf:g:idem:${tenant}:${digest}`,
  /** Where workers of the first releases wrote theirs; read while such a worker may run, or its records are kept. */
  firstRecord: (tenant: string, invocationId: string) => `mf:w:inv:${tenant}:${invocationId}`,
  /** Sorted set of a tenant's invocation ids by the epoch milliseconds of their acceptance; by `libs/queue`. */
  index: (tenant: string) => `mf:s:idx:${tenant}`,
  /**
   * Hash: field `v{n}` → the sealed text of a version (libs/secrets), `next` → highest number given out. Workers read it.
   * Outlives its versions for a while, so that a number is not given out twice.
   */
  secret: (tenant: string, name: string) => `mf:t:sec:${tenant}:${name}`,
  /** Hash: name of a secret → JSON `[[version, createdAtMs], …]`, oldest first; the last one is what calls get. */
  secrets: (tenant: string) => `mf:t:secs:${tenant}`,
  /** Hash: what a tenant's callbacks are signed with, sealed, and what they were signed with before. */
  webhookSecret: (tenant: string) => `mf:t:whs:${tenant}`,
  /** Hash per worker, until `WORKER_LISTED_MS` after its last heartbeat: what it is and does. */
  worker: (workerId: string) => `mf:w:host:${workerId}`,
  /**
   * Sorted set of the workers that take calls, by the epoch milliseconds of their last heartbeat; fresh for
   * `WORKER_ALIVE_MS`.
   */
  workers: 'mf:w:hosts',
  /** The same of all workers, whether they take calls or not, for `WORKER_LISTED_MS`. */
  seenWorkers: 'mf:w:seen',
  /** Hash: worker id → a `HostOrder`, as long as it holds. Workers read theirs with each heartbeat. */
  hostOrders: 'mf:g:hosts',
  /** Hash: tenant → JSON of what operators decided of it. Written with the audit log's entry, in one script. */
  tenants: 'mf:t:tenants',
  /** Hash: key id → JSON of a key, with the SHA-256 of its text. */
  apiKeys: 'mf:t:keys',
  /** Sorted set: `t:<tenant>` and `k:<key id>` by the revision that changed them last; how gateways follow. */
  tenantChanges: 'mf:t:changes',
  /** String: the last revision. */
  tenantRevision: 'mf:t:revision',
  /** Stream of the audit log, only ever added to: `e` → JSON of an entry, `h` → hash of it and of the hash before. */
  audit: 'mf:t:audit',
} as const;

export const channels = {
  /** Fallback reply path: message is `<replyToken> <tenant> <invocationId>`; the record holds the answer. */
  reply: (gatewayId: string) => `mf:w:rsp:${gatewayId}`,
  /** An async invocation has its end on record; the message is empty. By `Ledger.settle` of `libs/queue`. */
  ended: (tenant: string, invocationId: string) => `mf:s:ended:${tenant}:${invocationId}`,
  /** A version was uploaded or shall be warm: JSON of `PrepareOrder`; workers prepare its snapshot in the background. */
  versions: 'mf:g:versions',
  /** Let go of an invocation: a `CancelOrder`, heard by every worker and gateway. */
  cancel: 'mf:g:cancel',
  /** `CancelReport`s to the gateway that gave the order: of gateways, and of workers. */
  cancelReports: {
    gateways: (gatewayId: string) => `mf:g:let:${gatewayId}`,
    workers: (gatewayId: string) => `mf:w:let:${gatewayId}`,
  },
  /** A worker has tried to prepare a version: JSON of `ReadinessReport`. */
  ready: 'mf:w:ready',
  /** A function's versions changed: `<tenant> <name>`; gateways forget what they cached of it. */
  registry: 'mf:g:registry',
  /** A tenant's secrets changed: `<tenant>`; gateways forget which versions hold. */
  secrets: 'mf:g:secrets',
  /** A tenant or a key changed; gateways read what did. They look by themselves, too. */
  tenants: 'mf:t:announce',
} as const;
