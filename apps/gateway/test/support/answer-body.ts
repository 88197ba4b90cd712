/** The fields of the gateway's JSON bodies that tests look at; which of them are there depends on the route. */
export interface AnswerBody {
  readonly result: { readonly type: string; readonly value: string | number | boolean };
  readonly invocationId: string;
  readonly function: string;
  readonly version: number;
  readonly sha256: string;
  readonly manifest: { readonly timeoutMs: number };
  readonly items: readonly {
    readonly name: string;
    readonly version: number;
    readonly invocationId: string;
    readonly id: string;
  }[];
  readonly versions: readonly { readonly version: number }[];
  readonly batchId: string;
  readonly id: string;
  readonly key: string;
  readonly name: string;
  readonly detail: string;
  readonly paused: boolean;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly nextCursor?: string;
  readonly state: string;
  readonly outcome?: string;
  readonly nextAttemptAtMs?: number;
  readonly redriven: readonly {
    readonly from: string;
    readonly invocationId: string;
    readonly dueAtMs: number;
  }[];
  readonly left: number;
  readonly traceId?: string;
  readonly links: { readonly self: string; readonly result: string; readonly logs: string };
  readonly status: number;
  readonly code: string;
  readonly instance: string;
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[];
  readonly limit: { readonly name: string; readonly value: number; readonly current?: number };
  readonly limits: Readonly<Record<string, number>>;
  readonly defaults: { readonly timeoutMs: number };
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail?: string }[];
}

/** A response whose JSON is one of the gateway's. */
export type Answer = Omit<Response, 'json'> & { json(): Promise<AnswerBody> };
