import type { BlobStore } from '@mayfly/blobs';
import { LIMITS } from '@mayfly/contracts';
import type { FunctionRegistry } from './registry/function-registry.js';

/** Inputs and results live as long as a result is kept, with room for the call itself. */
const PAYLOAD_LIFE_MS = LIMITS.resultRetentionMs + 3_600_000;

export interface SweepDeps {
  readonly blobs: BlobStore;
  readonly registry: FunctionRegistry;
  readonly tenant: string;
}

/** Deletes the payloads of calls long ended, and artifacts that no version needs any more. @returns how many. */
export async function sweepBlobs({ blobs, registry, tenant }: SweepDeps): Promise<number> {
  const artifacts = await registry.artifactHashes(tenant);
  return blobs.sweep(tenant, { unusedForMs: PAYLOAD_LIFE_MS, keep: (sha256) => artifacts.has(sha256) });
}
