import type { FunctionRef, Outcome, OutcomeDetail, ReturnType, TypedValue } from '@mayfly/contracts';
import type { GuestTrace, HostCallTime } from '@mayfly/hypervisor';

/**
 * What the pool and the processor know of a guest, whatever its personality: an image that was initialised once, and
 * sandboxes made from it. `@mayfly/hypervisor`'s `Snapshot` and `Sandbox` have this shape.
 */
export interface GuestImage {
  /** Guest memory of the image, and of each sandbox made from it, at full size. */
  readonly memoryBytes: number;
  /** It has ended, with all sandboxes made from it: a call needs another one. @defaultValue false */
  readonly isGone?: boolean;
  /** Another sandbox in the state of the image. Rejects for host faults only. */
  instantiate(): Promise<GuestSandbox>;
  /** Idempotent. */
  close(): void;
}

export interface GuestSandbox {
  /** The slot on which all its calls run; absent where slots do not matter. */
  readonly slot?: number | undefined;
  /** Whether its state is in doubt, so that it must not go back to the pool. */
  readonly poisoned: boolean;
  /** Restore, then call. Guest faults are data; rejects for host faults and misuse. */
  invoke(
    entrypoint: string,
    args: readonly TypedValue[],
    returns: ReturnType,
    options: GuestCallOptions,
  ): Promise<GuestCallReport>;
  /**
   * Takes the call under way back if it has provably not begun: it settles as canceled, and the sandbox is as good as
   * before. False: it has begun, and goes on.
   */
  revoke(): boolean;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface GuestCallOptions {
  /** Guest time, from VM entry. */
  readonly timeoutMs: number;
  /** Abort kills the call. */
  readonly signal: AbortSignal;
  /** What host functions see of the call. */
  readonly context: CallContext;
  /** Gather the guest's own spans and events. */
  readonly trace: boolean;
}

export interface CallContext {
  readonly tenant: string;
  readonly function: string;
  readonly version: number;
  readonly invocationId: string;
  /** Which attempt of the invocation this is, from 1. */
  readonly attempt: number;
  /** What the function's settings show to the guest; not secret. */
  readonly env?: Readonly<Record<string, string>>;
  /** Secrets that the guest may read: name → version. */
  readonly secrets?: Readonly<Record<string, number>>;
}

export interface GuestCallReport {
  readonly outcome: Outcome;
  readonly value?: TypedValue;
  readonly detail?: OutcomeDetail;
  readonly logs: readonly GuestLog[];
  /** Log records beyond the sandbox's own caps. */
  readonly logsDropped: number;
  readonly printed: string;
  readonly phases: {
    readonly queuedUs: number;
    readonly restoreUs: number;
    /** Time in the guest. */
    readonly runUs: number;
    /** Between the guest's first entry and its end, without `runUs`. */
    readonly hostUs: number;
    readonly resultUs: number;
  };
  readonly exits: number;
  readonly hostCalls: number;
  readonly hostCallTimes: readonly HostCallTime[];
  readonly dirtyPages: number;
  /** Of a call that asked for it. */
  readonly trace?: GuestTrace;
}

export interface GuestLog {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
}

/** Why a version cannot run: its own fault, so every call of it ends so. */
export interface InitFailure {
  readonly outcome: Outcome;
  readonly detail: OutcomeDetail;
  /** Of what the guest printed and logged until then. */
  readonly logTail?: string;
}

export type BuildResult =
  /** `sandbox` is the one that was initialised: as good as any made from the image. */
  | { readonly ok: true; readonly image: GuestImage; readonly sandbox: GuestSandbox }
  | { readonly ok: false; readonly failure: InitFailure };

export interface ImageBuilder {
  /** Artifact → initialised image. Rejects for host faults only. */
  build(ref: FunctionRef): Promise<BuildResult>;
}
