import { type FunctionRef, isMayflyError, type KvmKind } from '@mayfly/contracts';
import type { SandboxPool } from '../pool/sandbox-pool.js';
import type { QuarantineWatch } from './quarantine.js';
import { failed, type ReadinessReports, type Said } from './readiness-reports.js';

export interface PreparerOptions {
  readonly pool: Pick<SandboxPool, 'prepare'>;
  readonly kvm: KvmKind;
  readonly reports: ReadinessReports;
  readonly quarantine?: Pick<QuarantineWatch, 'check'> | undefined;
  /** A host fault: the version is not prepared here. */
  readonly onFailure: (error: unknown, ref: FunctionRef) => void;
}

/** Prepares versions in the background, before any call of them, and says how that went. */
export class Preparer {
  readonly #options: PreparerOptions;

  constructor(options: PreparerOptions) {
    this.#options = options;
  }

  /** @param warmId somebody waits for the answer with this id */
  prepare(ref: FunctionRef, warmId?: string): void {
    const { kvm, onFailure } = this.#options;
    if (ref.requiresKvm !== undefined && ref.requiresKvm !== kvm) return;
    this.#prepare(ref, warmId).catch((error) => onFailure(error, ref));
  }

  async #prepare(ref: FunctionRef, warmId: string | undefined): Promise<void> {
    const { pool, reports, onFailure } = this.#options;
    const startedMs = performance.now();
    const answer = (said: Said) =>
      reports.send(ref, {
        ...said,
        ...(warmId !== undefined && { warmId, tookMs: Math.round(performance.now() - startedMs) }),
      });
    this.#options.quarantine?.check(ref);
    const preparing = pool.prepare(ref, 'background');
    // Said again: the first time may not have been heard.
    if (preparing === undefined) return answer({ state: 'ready' });
    try {
      const { built, failure } = await preparing;
      // A build reports itself.
      if (failure !== undefined) await answer(failed(failure));
      else if (!built || warmId !== undefined) await answer({ state: 'ready' });
    } catch (error) {
      onFailure(error, ref);
      const message = isMayflyError(error) ? `${error.definition.title} (${error.code})` : 'The host failed';
      await answer({ state: 'unavailable', message });
    }
  }
}
