import type { ParameterType, ReturnType } from './values.js';

export interface Signature {
  readonly params: readonly ParameterType[];
  readonly returns: ReturnType;
}

export interface MemorySizes {
  readonly heapBytes: number;
  readonly stackBytes: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

export interface Entrypoint extends Signature {
  /** Media type of a raw answer (`POST /invoke/{fn}`); absent: text/plain for `string`, octet-stream for `bytes`. */
  readonly contentType?: string;
}

/** What a version says of itself; every field is resolved (defaults applied) once the gateway stored it. */
export interface Manifest {
  /** How the artifact runs. `guest-abi` is the first personality; others stand beside it later. */
  readonly runtime: 'guest-abi';
  readonly entrypoints: Readonly<Record<string, Entrypoint>>;
  /** Entrypoint of `POST /invoke/{fn}`; absent when the manifest names none. */
  readonly default?: string;
  readonly memory: MemorySizes;
  readonly timeoutMs: number;
}
