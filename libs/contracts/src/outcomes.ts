/**
 * How an invocation ended. Every invocation ends in exactly one of these, on record; the word is the HTTP
 * `code`, the `Function-Error` header and the metric label.
 */
export const OUTCOMES = {
  succeeded: { status: 200, origin: 'guest', title: 'Succeeded' },
  'guest-error': { status: 502, origin: 'guest', title: 'The function answered with an error' },
  aborted: { status: 502, origin: 'guest', title: 'The guest aborted' },
  exception: { status: 502, origin: 'guest', title: 'The guest raised a CPU exception' },
  'stack-overflow': { status: 502, origin: 'guest', title: 'The guest overflowed its stack' },
  'access-violation': { status: 502, origin: 'guest', title: 'The guest accessed memory it may not' },
  protocol: { status: 502, origin: 'guest', title: 'The guest broke the guest ABI' },
  'out-of-memory': { status: 502, origin: 'guest', title: 'The guest ran out of memory' },
  exit: { status: 502, origin: 'guest', title: 'The program exited with an error' },
  signal: { status: 502, origin: 'guest', title: 'The program was ended by a signal' },
  'host-budget': { status: 502, origin: 'guest', title: 'The guest used up its budget of host work' },
  timeout: { status: 504, origin: 'guest', title: 'The guest exceeded its time limit' },
  canceled: { status: 499, origin: 'client', title: 'The invocation was canceled' },
  'host-fault': { status: 503, origin: 'platform', title: 'The host failed' },
} as const satisfies Record<
  string,
  { status: number; origin: 'guest' | 'client' | 'platform'; title: string }
>;

export type Outcome = keyof typeof OUTCOMES;
