import type { BlobStore } from '@mayfly/blobs';
import { type FunctionRef, isMayflyError, LIMITS } from '@mayfly/contracts';
import { guestInitFailure, type HypervisorDriver, loadSandbox, type ResetMismatch } from '@mayfly/hypervisor';
import { logTail } from './log-tail.js';
import type { BuildResult, ImageBuilder, InitFailure } from './pool/guest-image.js';

export interface HypervisorImageBuilderOptions {
  readonly driver: HypervisorDriver;
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly initTimeoutMs: number;
  /** A restore left something behind: nothing of this host can be trusted with another call. */
  readonly onMismatch?: (mismatch: ResetMismatch) => void;
}

/** Artifact from the blob store (its hash is checked there) → load → initialise → snapshot. */
export class HypervisorImageBuilder implements ImageBuilder {
  readonly #options: HypervisorImageBuilderOptions;

  constructor(options: HypervisorImageBuilderOptions) {
    this.#options = options;
  }

  async build(ref: FunctionRef): Promise<BuildResult> {
    const { driver, blobs, initTimeoutMs, onMismatch } = this.#options;
    const elf = await blobs.get(ref.tenant, ref.artifactSha256, { limitBytes: LIMITS.artifactBytes });
    try {
      const loaded = await loadSandbox(driver, elf, {
        memory: ref.memory,
        initTimeoutMs,
        ...(onMismatch && { liveCheck: { onMismatch } }),
      });
      const sandbox = await loaded.evolve();
      return { ok: true, image: await sandbox.snapshot(), sandbox };
    } catch (error) {
      const failure = initFailure(error);
      if (failure === undefined) throw error;
      return { ok: false, failure };
    }
  }
}

/** A fault of the guest or of its binary is the version's own; undefined for a host fault. */
function initFailure(error: unknown): InitFailure | undefined {
  const failure = guestInitFailure(error);
  if (failure) {
    const { outcome, detail } = failure;
    return {
      outcome,
      detail: { ...detail, message: `Initialisation: ${detail.message}` },
      logTail: logTail(failure),
    };
  }
  if (!isMayflyError(error) || error.definition.status >= 500) return undefined;
  return { outcome: 'protocol', detail: { message: `The artifact cannot be loaded: ${error.message}` } };
}
