/** What one call asked for, and everything that was ever said of it. */
export interface Entry {
  readonly lane: 'sync' | 'async';
  readonly steps: number;
  readonly askedAtMs: number;
  readonly limitMs: number;
  /** Of the gateway that was asked. */
  readonly gateway: number;
  /** Absent: nothing was heard within the limit. */
  answer?: Answer;
  invocationId?: string;
  /** Ends that its record was read to have, each once. More than one is one too many. */
  readonly ends: string[];
  /** Of an async call that succeeded, as it was read later. */
  result?: unknown;
  /** The record's last answer: an end, or why there is none. */
  lastSeen?: string;
}

export type Answer = { readonly atMs: number } & (
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'problem'; readonly status: number; readonly code: string }
  /** The connection ended, or there was none. */
  | { readonly kind: 'cut'; readonly why: string }
  | { readonly kind: 'strange'; readonly text: string }
);

/** The calls of one scenario. */
export class History {
  readonly entries: Entry[] = [];
  /** When gateways were dead or stood still: only then may a connection end without an answer. */
  readonly gatewayFaults: { readonly gateway: number; readonly fromMs: number; untilMs: number }[] = [];

  /** A fault of a gateway begins; the answer ends it. */
  gatewayFault(gateway: number): () => void {
    const fault = { gateway, fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
    this.gatewayFaults.push(fault);
    return () => {
      fault.untilMs = Date.now();
    };
  }

  /** Whether callers find nobody there now. */
  isDown(gateway: number): boolean {
    return this.gatewayFaults.some((fault) => fault.gateway === gateway && fault.untilMs > Date.now());
  }

  get acknowledged(): Entry[] {
    return this.entries.filter(({ lane, answer }) => lane === 'async' && answer?.kind === 'accepted');
  }
}

/** What `Work` of the guest `spin` answers: 32-bit, as the guest reckons. */
export function workOf(steps: number): number {
  let state = 1;
  for (let i = 0; i < steps; i += 1) state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state;
}
