const KIB = 1024;
const MIB = 1024 * KIB;

/** Platform limits, as `GET /v1/limits` answers them. Units are in the names. */
export const LIMITS = {
  /** Largest guest binary that an upload may carry. */
  artifactBytes: 64 * MIB,
  /** Largest request body of an invocation. */
  invocationBodyBytes: 6 * MIB,
  /** Largest result, and the ceiling of a version's output buffer. */
  resultBytes: 6 * MIB,
  functionNameLength: 64,
  entrypointNameLength: 128,
  /** The guest ABI takes at most 11 parameters (guest-abi 8.4). */
  parameters: 11,
  timeoutMs: 30_000,
  defaultTimeoutMs: 5_000,
  /** What a sync caller waits at most beyond the guest's own time: queue, start, result. */
  queueWaitMs: 30_000,
  /** Calls of one batch, and the bytes of one of them and of all. */
  batchItems: 1_000,
  batchItemBytes: 1 * MIB,
  batchBodyBytes: 16 * MIB,
  idempotencyKeyLength: 255,
  /** How long an `Idempotency-Key` is remembered. */
  idempotencyMs: 24 * 3_600_000,
  /** Longest `Prefer: wait` that is kept to. */
  preferWaitMs: 60_000,
  /** Guest memory in total: the layout of guest-abi 1 ends at 1 GiB. */
  guestMemoryBytes: 1024 * MIB,
  heapBytes: 512 * MIB,
  stackBytes: 16 * MIB,
  inputBytes: 8 * MIB,
  outputBytes: 8 * MIB,
  /** Values up to this size travel inside the job and the record; larger ones by blob reference. */
  inlineBytes: 8 * KIB,
  /** Invocations of one function that may share one BullMQ job. */
  invocationsPerJob: 16,
  secretBytes: 64 * KIB,
  /** Secrets of one tenant, and the newest versions of each that are kept. */
  secrets: 256,
  secretVersions: 10,
  logTailBytes: 4 * KIB,
  recordRetentionMs: 7 * 24 * 3_600_000,
  resultRetentionMs: 24 * 3_600_000,
} as const;

/** Sizes that a version gets when its manifest names none. */
export const DEFAULT_MEMORY = {
  heapBytes: 1 * MIB,
  stackBytes: 64 * KIB,
  inputBytes: 1 * MIB,
  outputBytes: 1 * MIB,
} as const;
