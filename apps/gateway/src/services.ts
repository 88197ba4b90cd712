import type { BlobStore } from '@mayfly/blobs';
import type { Attempts, DeadLetters, Gate } from '@mayfly/queue';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { AuditLog } from './audit/audit-log.js';
import type { Callbacks } from './callbacks/callbacks.js';
import type { WebhookSecrets } from './callbacks/webhook-secrets.js';
import type { GatewayConfig } from './config.js';
import type { Hosts } from './dispatch/hosts.js';
import type { JobProducer } from './dispatch/job-producer.js';
import type { RedisMemory } from './dispatch/redis-memory.js';
import type { Canceler } from './invocations/canceler.js';
import type { EndWatch } from './invocations/end-watch.js';
import type { InvocationStore } from './invocations/invocation-store.js';
import type { Invoker } from './invocations/invoker.js';
import type { VersionResolver } from './invocations/version-resolver.js';
import type { FunctionCache } from './registry/function-cache.js';
import type { FunctionRegistry } from './registry/function-registry.js';
import type { Quarantines } from './registry/quarantines.js';
import type { ReadinessListener } from './registry/readiness-listener.js';
import type { RollbackWatch } from './registry/rollback-watch.js';
import type { SecretGrants } from './secrets/secret-grants.js';
import type { SecretStore } from './secrets/secret-store.js';
import type { Throttles } from './telemetry/throttles.js';
import type { KeyAdmin } from './tenants/key-admin.js';
import type { TenantAdmin } from './tenants/tenant-admin.js';
import type { TenantDirectory } from './tenants/tenant-directory.js';
import type { TenantPolicies } from './tenants/tenant-policies.js';

/** Checks an artifact before it becomes a version; throws a MayflyError that says what is wrong with it. */
export type CheckArtifact = (bytes: Uint8Array) => unknown;

/** What the routes work with. */
export interface Services {
  readonly config: GatewayConfig;
  readonly logger: Logger;
  readonly redis: Redis;
  readonly blobs: BlobStore;
  readonly checkArtifact: CheckArtifact;
  readonly registry: FunctionRegistry;
  readonly cache: FunctionCache;
  readonly resolver: VersionResolver;
  readonly readiness: ReadinessListener;
  readonly rollbacks: RollbackWatch;
  readonly quarantines: Quarantines;
  readonly store: InvocationStore;
  readonly producer: JobProducer;
  readonly invoker: Invoker;
  readonly ends: EndWatch;
  readonly canceler: Canceler;
  readonly attempts: Attempts;
  readonly deadLetters: DeadLetters;
  readonly hosts: Hosts;
  readonly memory: RedisMemory;
  readonly throttles: Throttles;
  readonly policies: TenantPolicies;
  /** Tenants and keys, in memory. */
  readonly directory: TenantDirectory;
  readonly gate: Gate;
  readonly tenantAdmin: TenantAdmin;
  readonly keyAdmin: KeyAdmin;
  /** Who changed what; every change of a tenant's things or the platform's is put on record there. */
  readonly audit: AuditLog;
  readonly secrets: SecretStore;
  readonly secretGrants: SecretGrants;
  readonly callbacks: Callbacks;
  readonly webhookSecrets: WebhookSecrets;
}
