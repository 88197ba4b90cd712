import type { BlobStore } from '@mayfly/blobs';
import { type FunctionRef, isMayflyError, LIMITS } from '@mayfly/contracts';
import {
  guestInitFailure,
  type HostFunctionTable,
  loadSandbox,
  type ResetMismatch,
  type Snapshot,
} from '@mayfly/hypervisor';
import { onMismatch, type TenantDriver, type TenantDrivers } from './cells/tenant-drivers.js';
import { logTail } from './log-tail.js';
import type { BuildResult, GuestImage, ImageBuilder, InitFailure } from './pool/guest-image.js';

export interface HypervisorImageBuilderOptions {
  readonly drivers: Pick<TenantDrivers, 'driverOf'>;
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly initTimeoutMs: number;
  /** What every guest may call, beside `HostPrint`. @defaultValue nothing */
  readonly hostFunctions?: HostFunctionTable;
  /** A restore in the worker's own process left something behind: nothing of it can be trusted with another call. */
  readonly onUnclean?: (mismatch: ResetMismatch) => void;
}

/** Artifact from the blob store (its hash is checked there) → load → initialise → snapshot. */
export class HypervisorImageBuilder implements ImageBuilder {
  readonly #options: HypervisorImageBuilderOptions;

  constructor(options: HypervisorImageBuilderOptions) {
    this.#options = options;
  }

  async build(ref: FunctionRef): Promise<BuildResult> {
    const { drivers, blobs, initTimeoutMs, hostFunctions = new Map(), onUnclean } = this.#options;
    const elf = await blobs.get(ref.tenant, ref.artifactSha256, { limitBytes: LIMITS.artifactBytes });
    const driver = await drivers.driverOf(ref.tenant);
    try {
      const loaded = await loadSandbox(driver, elf, {
        memory: ref.memory,
        initTimeoutMs,
        ...(onUnclean && {
          liveCheck: { onMismatch: (mismatch: ResetMismatch) => onMismatch(driver, mismatch, onUnclean) },
        }),
      });
      for (const [name, { signature, handler }] of hostFunctions)
        loaded.registerHostFunction(name, signature, handler);
      const sandbox = await loaded.evolve();
      return { ok: true, image: imageOf(await sandbox.snapshot(), driver), sandbox };
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

/** An image ends with the driver that it was made with. */
function imageOf(snapshot: Snapshot, driver: TenantDriver): GuestImage {
  return {
    memoryBytes: snapshot.memoryBytes,
    get isGone() {
      return driver.ended !== undefined;
    },
    instantiate: () => snapshot.instantiate(),
    close: () => snapshot.close(),
  };
}
