import type { BlobStore } from '@mayfly/blobs';
import { LIMITS } from '@mayfly/contracts';
import type { DeadLetters } from '@mayfly/queue';
import type { FunctionRegistry } from './registry/function-registry.js';

/** Inputs and results live as long as a result is kept, with room for the call itself. */
const PAYLOAD_LIFE_MS = LIMITS.resultRetentionMs + 3_600_000;

/** Of a function: those of which inputs are kept. */
const MAX_LETTERS = 100_000;
const LETTERS_AT_ONCE = 500;

export interface SweepDeps {
  readonly blobs: BlobStore;
  readonly registry: FunctionRegistry;
  readonly tenant: string;
  readonly deadLetters: Pick<DeadLetters, 'oldest' | 'calls'>;
}

/** Deletes the payloads of calls long ended, and artifacts that no version needs any more. @returns how many. */
export async function sweepBlobs({ blobs, registry, tenant, deadLetters }: SweepDeps): Promise<number> {
  const [artifacts, inputs] = await Promise.all([
    registry.artifactHashes(tenant),
    inputsOfDeadLetters({ registry, tenant, deadLetters }),
  ]);
  const keep = (sha256: string) => artifacts.has(sha256) || inputs.has(sha256);
  return blobs.sweep(tenant, { unusedForMs: PAYLOAD_LIFE_MS, keep });
}

/** Calls that were given up can be made again for as long as their letters live. */
async function inputsOfDeadLetters({
  registry,
  tenant,
  deadLetters,
}: Omit<SweepDeps, 'blobs'>): Promise<Set<string>> {
  const inputs = new Set<string>();
  for (const name of await registry.listNames(tenant)) {
    const ids = await deadLetters.oldest(tenant, name, MAX_LETTERS);
    for (let first = 0; first < ids.length; first += LETTERS_AT_ONCE)
      for (const call of await deadLetters.calls(tenant, ids.slice(first, first + LETTERS_AT_ONCE)))
        if (call?.item.input.kind === 'blob') inputs.add(call.item.input.sha256);
  }
  return inputs;
}
