/** Sync calls have somebody who waits; a class has a window, a ring and BullMQ's queue of its own. */
export type CallClass = 'sync' | 'async';

/** What names a call to the gate. */
export interface CallId {
  readonly class: CallClass;
  readonly tenant: string;
  readonly function: string;
  readonly invocationId: string;
}

export const letterOf = (kind: CallClass): 's' | 'a' => (kind === 'sync' ? 's' : 'a');
