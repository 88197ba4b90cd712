import type { Outcome, OutcomeDetail } from '@mayfly/contracts';

interface FaultRule {
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  /** Whether the sandbox must be restored before its next call. */
  readonly poisons: boolean;
  /** Whether the VM itself is in doubt, so that not even a restore makes the sandbox usable again. */
  readonly discards?: boolean;
  /** What the reference does (guest-abi 5.4, 10.3); where it differs, ours is stricter (Appendix B). */
  readonly referencePoisons: boolean;
}

/** Every way a call can end other than well: the outcome on record, and whether guest state can be trusted. */
export const FAULT_RULES = {
  'stack-guard': { outcome: 'stack-overflow', poisons: true, referencePoisons: true },
  'stack-cookie': { outcome: 'stack-overflow', poisons: true, referencePoisons: true },
  'access-violation': { outcome: 'access-violation', poisons: true, referencePoisons: true },
  mmio: { outcome: 'access-violation', poisons: true, referencePoisons: false },
  exception: { outcome: 'exception', poisons: true, referencePoisons: true },
  shutdown: { outcome: 'exception', poisons: true, discards: true, referencePoisons: false },
  unknown: { outcome: 'host-fault', poisons: true, discards: true, referencePoisons: false },
  kill: { outcome: 'canceled', poisons: true, referencePoisons: true },
  deadline: { outcome: 'timeout', poisons: true, referencePoisons: true },
  revoked: { outcome: 'canceled', poisons: false, referencePoisons: false },
  abort: { outcome: 'aborted', poisons: true, referencePoisons: true },
  'abort-stack-overflow': { outcome: 'stack-overflow', poisons: true, referencePoisons: true },
  'abort-out-of-memory': { outcome: 'out-of-memory', poisons: true, referencePoisons: true },
  'bad-port': { outcome: 'protocol', poisons: true, referencePoisons: false },
  'bad-outbox': { outcome: 'protocol', poisons: true, referencePoisons: false },
  'bad-host-call': { outcome: 'protocol', poisons: true, referencePoisons: false },
  'bad-result': { outcome: 'protocol', poisons: true, referencePoisons: false },
  'bad-dispatch-pointer': { outcome: 'protocol', poisons: true, referencePoisons: false },
  'result-type': { outcome: 'protocol', poisons: false, referencePoisons: false },
  'unsupported-instruction': { outcome: 'exception', poisons: true, referencePoisons: false },
  'host-budget': { outcome: 'host-budget', poisons: true, referencePoisons: false },
  'guest-error': { outcome: 'guest-error', poisons: false, referencePoisons: false },
  'guest-error-stack-overflow': { outcome: 'stack-overflow', poisons: true, referencePoisons: true },
} as const satisfies Record<string, FaultRule>;

export type FaultReason = keyof typeof FAULT_RULES;

/** A call that did not succeed, as data. */
export interface Fault {
  readonly reason: FaultReason;
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  readonly poisons: boolean;
  readonly discards: boolean;
  readonly detail: OutcomeDetail;
}

export function fault(reason: FaultReason, detail: OutcomeDetail | string): Fault {
  const { outcome, poisons, discards = false }: FaultRule = FAULT_RULES[reason];
  return {
    reason,
    outcome,
    poisons,
    discards,
    detail: typeof detail === 'string' ? { message: detail } : detail,
  };
}

/** Addresses in details, as `0x` and lower-case hex. */
export function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
