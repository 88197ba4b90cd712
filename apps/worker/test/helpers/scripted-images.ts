import type { FunctionRef, TypedValue } from '@mayfly/contracts';
import type {
  BuildResult,
  GuestCallOptions,
  GuestCallReport,
  GuestImage,
  GuestSandbox,
  ImageBuilder,
} from '../../src/pool/guest-image.js';

export type Script = (call: {
  readonly entrypoint: string;
  readonly args: readonly TypedValue[];
  readonly options: GuestCallOptions;
  readonly sandbox: ScriptedSandbox;
}) => GuestCallReport | Promise<GuestCallReport>;

export class ScriptedSandbox implements GuestSandbox {
  poisoned = false;
  isClosed = false;
  /** Whether a call under way has not begun: `revoke` then takes it back. */
  isWaiting = true;
  readonly revoked = deferred();
  readonly slot?: number;
  readonly closed = deferred();
  readonly #script: Script;

  constructor(script: Script, slot: number | undefined) {
    this.#script = script;
    if (slot !== undefined) this.slot = slot;
  }

  async invoke(
    entrypoint: string,
    args: readonly TypedValue[],
    _returns: unknown,
    options: GuestCallOptions,
  ): Promise<GuestCallReport> {
    return this.#script({ entrypoint, args, options, sandbox: this });
  }

  revoke(): boolean {
    if (this.isWaiting) this.revoked.resolve();
    return this.isWaiting;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.closed.resolve();
  }
}

/** Stands at the pool's interface to the hypervisor: every image it builds runs one script. */
export class ScriptedImages implements ImageBuilder {
  script: Script;
  memoryBytes = 1000;
  builds = 0;
  /** Slots of the sandboxes in the order they are made; none, or past the end: unknown. */
  slots: number[] = [];
  readonly sandboxes: ScriptedSandbox[] = [];
  readonly openImages = new Set<GuestImage>();
  /** Replaces the build of a version. */
  onBuild: ((ref: FunctionRef) => Promise<BuildResult> | undefined) | undefined;
  onInstantiate: (() => Promise<void>) | undefined;

  constructor(script: Script = () => report()) {
    this.script = script;
  }

  get openSandboxes(): number {
    return this.sandboxes.filter((sandbox) => !sandbox.isClosed).length;
  }

  async build(ref: FunctionRef): Promise<BuildResult> {
    this.builds += 1;
    return this.onBuild?.(ref) ?? this.scriptedImage();
  }

  scriptedImage(): BuildResult {
    const image: GuestImage = {
      memoryBytes: this.memoryBytes,
      instantiate: async () => {
        await this.onInstantiate?.();
        return this.#sandbox();
      },
      close: () => this.openImages.delete(image),
    };
    this.openImages.add(image);
    return { ok: true, image, sandbox: this.#sandbox() };
  }

  #sandbox(): ScriptedSandbox {
    const sandbox = new ScriptedSandbox((call) => this.script(call), this.slots[this.sandboxes.length]);
    this.sandboxes.push(sandbox);
    return sandbox;
  }
}

export function report(overrides: Partial<GuestCallReport> = {}): GuestCallReport {
  return {
    outcome: 'succeeded',
    value: { type: 'string', value: 'hello' },
    logs: [],
    logsDropped: 0,
    printed: '',
    phases: { queuedUs: 1, restoreUs: 2, runUs: 3, hostUs: 0, resultUs: 4 },
    exits: 1,
    hostCalls: 0,
    hostCallTimes: [],
    dirtyPages: 5,
    ...overrides,
  };
}

/** A report that comes when the call is killed, as a guest that runs for ever gives it. */
export function untilKilled(options: GuestCallOptions): Promise<GuestCallReport> {
  return new Promise((resolve) => {
    const end = () => resolve(report({ outcome: 'canceled', detail: { message: 'killed' } }));
    if (options.signal.aborted) end();
    else options.signal.addEventListener('abort', end, { once: true });
  });
}

/** A promise with its ends outside. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
