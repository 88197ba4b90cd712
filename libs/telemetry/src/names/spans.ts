/** Span names; the ones that take a name of a route, lane or function are functions of it. */
export const SPANS = {
  /** Gateway, SERVER: one HTTP request; the child of the client's `traceparent`. */
  request: (method: string, route: string) => `${method} ${route}`,
  /** Gateway, INTERNAL: from the request's arrival to the decision to take it. */
  admission: 'admission',
  /** Gateway, PRODUCER: the call is in its lane and, for a sync call, has not been answered yet. */
  send: (lane: string) => `send ${lane}`,
  /** Worker, CONSUMER: child of `send` for sync calls, linked to it for async ones and for retries. */
  process: (lane: string) => `process ${lane}`,
  /** Worker, SERVER, in the function's own resource: the invocation from its acceptance to its result. */
  invocation: (functionName: string) => functionName,
  /** Worker, INTERNAL: the phases of an invocation, which follow each other without a gap. */
  queue: 'queue',
  acquire: 'vm.acquire',
  restore: 'vm.restore',
  run: 'vm.run',
  result: 'result',
  /** Worker, INTERNAL: a host function, inside the guest span that called it or else inside `vm.run`. */
  hostCall: (functionName: string) => `host ${functionName}`,
} as const;

/** Instrumentation scopes: what Mayfly saw, and what guests say of themselves. */
export const SCOPES = { mayfly: 'mayfly', guest: 'mayfly.guest' } as const;
