import type { Outcome, OutcomeDetail } from '@mayfly/contracts';

/** Errors of the reference as guest-abi 15 names them; `none`: it has no such end of a call. */
export type ReferenceError =
  | 'StackOverflow'
  | 'MemoryAccessViolation'
  | 'ExecutionCanceledByHost'
  | 'GuestAborted'
  | 'GuestError'
  | 'ReturnValueConversionFailure'
  | 'AnyhowError'
  | 'Error'
  | 'none';

interface FaultRule {
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  /** Whether the sandbox must be restored before its next call. */
  readonly poisons: boolean;
  /** Whether the VM itself is in doubt, so that not even a restore makes the sandbox usable again. */
  readonly discards?: boolean;
  /** What the reference returns (guest-abi 5.4, 15). */
  readonly reference: ReferenceError;
  /** Why ours poisons where the reference does not (guest-abi 5.4, 10.3, Appendix B). Absent: it does the same. */
  readonly stricter?: string;
}

const LEFT = 'the guest was left in the middle of a call';

/** Every way a call can end other than well: the outcome on record, and whether guest state can be trusted. */
export const FAULT_RULES = {
  'stack-guard': { outcome: 'stack-overflow', poisons: true, reference: 'StackOverflow' },
  'stack-cookie': { outcome: 'stack-overflow', poisons: true, reference: 'StackOverflow' },
  'access-violation': { outcome: 'access-violation', poisons: true, reference: 'MemoryAccessViolation' },
  mmio: { outcome: 'access-violation', poisons: true, reference: 'Error', stricter: LEFT },
  exception: { outcome: 'exception', poisons: true, reference: 'Error', stricter: LEFT },
  shutdown: {
    outcome: 'exception',
    poisons: true,
    discards: true,
    reference: 'Error',
    stricter: 'the CPU is shut down, and a VM that did so is not used again',
  },
  unknown: {
    outcome: 'host-fault',
    poisons: true,
    discards: true,
    reference: 'Error',
    stricter: 'nobody knows what the VM holds',
  },
  kill: { outcome: 'canceled', poisons: true, reference: 'ExecutionCanceledByHost' },
  deadline: { outcome: 'timeout', poisons: true, reference: 'ExecutionCanceledByHost' },
  // Nothing of the guest ran.
  revoked: { outcome: 'canceled', poisons: false, reference: 'none' },
  abort: { outcome: 'aborted', poisons: true, reference: 'GuestAborted' },
  'abort-stack-overflow': { outcome: 'stack-overflow', poisons: true, reference: 'StackOverflow' },
  'abort-out-of-memory': { outcome: 'out-of-memory', poisons: true, reference: 'GuestAborted' },
  'bad-port': { outcome: 'protocol', poisons: true, reference: 'AnyhowError', stricter: LEFT },
  'bad-outbox': { outcome: 'protocol', poisons: true, reference: 'Error', stricter: LEFT },
  'bad-host-call': { outcome: 'protocol', poisons: true, reference: 'Error', stricter: LEFT },
  'bad-result': {
    outcome: 'protocol',
    poisons: true,
    reference: 'Error',
    stricter: 'a guest that breaks the buffers once has lost its own state, too',
  },
  'bad-dispatch-pointer': {
    outcome: 'protocol',
    poisons: true,
    reference: 'Error',
    stricter: 'there is nothing to call',
  },
  'result-type': { outcome: 'protocol', poisons: false, reference: 'ReturnValueConversionFailure' },
  'unsupported-instruction': { outcome: 'exception', poisons: true, reference: 'none' },
  'host-budget': { outcome: 'host-budget', poisons: true, reference: 'none' },
  'guest-error': { outcome: 'guest-error', poisons: false, reference: 'GuestError' },
  'guest-error-stack-overflow': { outcome: 'stack-overflow', poisons: true, reference: 'StackOverflow' },
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

/** Whether the reference poisons, too, after this end (guest-abi 10.3). */
export function referencePoisons(reason: FaultReason): boolean {
  return POISONING.has(FAULT_RULES[reason].reference);
}

const POISONING: ReadonlySet<ReferenceError> = new Set([
  'GuestAborted',
  'ExecutionCanceledByHost',
  'StackOverflow',
  'MemoryAccessViolation',
]);

/** What the reference displays for this end (guest-abi 15). Its own words are in `detail.message` wherever it has some. */
export function referenceText({ reason, detail }: Pick<Fault, 'reason' | 'detail'>): string {
  switch (FAULT_RULES[reason].reference) {
    case 'StackOverflow':
      return 'Stack overflow detected';
    case 'ExecutionCanceledByHost':
      return 'Execution was cancelled by the host.';
    case 'GuestAborted':
      return `Guest aborted: ${detail.guestCode ?? 0} ${detail.message}`;
    case 'GuestError':
      return `Guest error occurred ${detail.guestCodeName ?? ''}: ${detail.message}`;
    case 'AnyhowError':
      return `Anyhow Error was returned: ${detail.message}`;
    default:
      return detail.message;
  }
}
