import type { AcceptedRecord, InvocationRecord } from '@mayfly/contracts';
import { newReplyToken } from '../ids.js';
import { TokenTable } from './token-table.js';

/** How a wait ended. `body`: the result's bytes when they came with the reply. */
export type WaitEnd =
  | { readonly kind: 'arrived'; readonly record: InvocationRecord; readonly body?: Uint8Array }
  | { readonly kind: 'expired' }
  | { readonly kind: 'drained' }
  | { readonly kind: 'lost'; readonly error: unknown }
  /** It was not let in: there is nothing to put on record. */
  | { readonly kind: 'refused'; readonly error: unknown };

export interface Waiter {
  readonly token: string;
  readonly tenant: string;
  readonly invocationId: string;
  readonly ended: Promise<WaitEnd>;
  /** What is waited for. */
  readonly accepted: () => AcceptedRecord;
}

interface OpenWaiter extends Waiter {
  readonly end: (how: WaitEnd) => void;
  readonly timer: NodeJS.Timeout;
}

/** The sync calls whose answer has not come, by reply token. A waiter ends once, and is forgotten then. */
export class Waiters {
  readonly #open = new TokenTable<OpenWaiter>();
  readonly #idle: (() => void)[] = [];
  #unknownReplies = 0;

  get size(): number {
    return this.#open.size;
  }

  /** Replies that nobody waited for: late, doubled or forged. */
  get unknownReplies(): number {
    return this.#unknownReplies;
  }

  /** Registers a wait, before its job is added. It ends by itself, as `expired`, after `waitMs`. */
  open(call: Pick<Waiter, 'tenant' | 'invocationId' | 'accepted'> & { waitMs: number }): Waiter {
    const { tenant, invocationId, accepted, waitMs } = call;
    const token = newReplyToken();
    let end: (how: WaitEnd) => void = () => undefined;
    const ended = new Promise<WaitEnd>((resolve) => {
      end = resolve;
    });
    const timer = setTimeout(() => this.end(token, { kind: 'expired' }), waitMs);
    const waiter: OpenWaiter = { token, tenant, invocationId, accepted, ended, end, timer };
    this.#open.add(waiter);
    return waiter;
  }

  /** Hands a worker's answer to the call that it names; one that no open call expects is counted and dropped. */
  deliver(token: string, record: InvocationRecord, body?: Uint8Array): void {
    const waiter = this.#open.find(token);
    if (waiter === undefined || !isRecordOf(waiter, record)) {
      this.#unknownReplies += 1;
      return;
    }
    this.end(token, { kind: 'arrived', record, ...(body !== undefined && { body }) });
  }

  find(token: string): Waiter | undefined {
    return this.#open.find(token);
  }

  /** The wait for an invocation. Looks at all: only who cancels asks. */
  findCall(tenant: string, invocationId: string): Waiter | undefined {
    return this.#open.first((waiter) => waiter.invocationId === invocationId && waiter.tenant === tenant);
  }

  end(token: string, how: WaitEnd): void {
    const waiter = this.#open.remove(token);
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    waiter.end(how);
    if (this.#open.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when no call is open, at the latest after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  all(): readonly Waiter[] {
    return this.#open.values();
  }
}

function isRecordOf(waiter: Waiter, record: InvocationRecord): boolean {
  return record.invocationId === waiter.invocationId && record.tenant === waiter.tenant;
}
