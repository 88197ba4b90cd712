import { isMayflyError } from '@mayfly/contracts';
import { MAX_ABORT_BYTES } from './abort.js';
import { type CallBudget, DEFAULT_BUDGET } from './call-budget.js';
import { CappedText } from './capped-text.js';
import { decodeGuestLog, type GuestLogRecord } from './codec/guest-log.js';
import type { OutboxEntry, RunAnswer } from './driver.js';
import type { HostCallContext } from './host-functions.js';
import type { TraceCollector } from './trace/trace-collector.js';

/** Why the host stopped waiting for a host function. */
export type CutBy = 'kill' | 'deadline' | 'budget';
/** What `outlast` answers when the call was cut. */
export const CUT = Symbol('cut');

const LOG_PORT = 99;
const ABORT_PORT = 102;
const DEBUG_PRINT_PORT = 103;
const TRACE_PORT = 104;
const MAX_LOG_RECORDS = 1000;
const MAX_LOG_BYTES = 256 * 1024;
const MAX_PRINTED_LENGTH = 64 * 1024;
const MAX_DEBUG_LENGTH = 16 * 1024;
const MAX_HOST_CALL_TIMES = 1000;

/** One call of a host function that exists. */
export interface HostCallTime {
  readonly name: string;
  /** The guest's exit → the answer is ready. */
  readonly durationUs: number;
}

/**
 * All that belongs to one run of the guest to its halt, over all its exits: budget, counters, output, and the
 * switch that ends a wait for an asynchronous host function.
 *
 * DESIGN. Waiting is only possible between two runs of the VM, in `outlast`. A cut that comes earlier is kept and
 * ends the next wait at once; the driver keeps it as well, for the next entry. A cut is final.
 */
export class CallState {
  readonly #timeoutMs: number | undefined;
  readonly #call: unknown;
  readonly #budget: CallBudget;
  #hostTimeMs = 0;
  #hostCallSinceMs: number | undefined;
  #hostCallEndedNs = 0;
  #leftNs: number | undefined;
  #awayMs = 0;
  #startedAtMs: number | undefined;
  #abort: AbortController | undefined;
  #cutBy: CutBy | undefined;
  #endWait: (() => void) | undefined;
  #context: HostCallContext | undefined;
  #logBytes = 0;
  #abortBytes: Buffer | undefined;

  readonly logs: GuestLogRecord[] = [];
  /** Records beyond the caps of this call or of the driver's outbox. */
  logsDropped = 0;
  readonly printed = new CappedText(MAX_PRINTED_LENGTH);
  readonly debugPrinted = new CappedText(MAX_DEBUG_LENGTH);
  exits = 0;
  hostCalls = 0;
  /** Bytes that the host decoded for this call. */
  decodedBytes = 0;
  dirtyPages = 0;
  readonly hostCallTimes: HostCallTime[] = [];
  /** Until the first run was taken by a vCPU thread; what later ones wait is in `hostMs`. */
  queuedNs = 0;
  restoreNs = 0;
  runNs = 0;
  /** A host function was still at work when its call ended. */
  hostFunctionLate = false;
  /** What the guest tells of its own work, for a call that is traced. */
  trace: TraceCollector | undefined;

  /**
   * @param timeoutMs Budget from the guest's first entry; `undefined` for none.
   * @param call What host functions see as `ctx.call`.
   */
  constructor(timeoutMs: number | undefined, call: unknown, budget: CallBudget = DEFAULT_BUDGET) {
    this.#timeoutMs = timeoutMs;
    this.#call = call;
    this.#budget = budget;
  }

  get cutBy(): CutBy | undefined {
    return this.#cutBy;
  }

  get context(): HostCallContext {
    this.#context ??= contextOf(this, this.#call);
    return this.#context;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#cutBy) this.#abort.abort(abortReason(this.#cutBy));
    }
    return this.#abort.signal;
  }

  get remainingMs(): number {
    if (this.#timeoutMs === undefined) return Number.POSITIVE_INFINITY;
    // Timers of Node may come a fraction early.
    if (this.#cutBy === 'deadline') return 0;
    if (this.#startedAtMs === undefined) return this.#timeoutMs;
    return Math.max(0, this.#timeoutMs - (performance.now() - this.#startedAtMs));
  }

  /** What is left of the budget of host time, at least 0. */
  get remainingHostTimeMs(): number {
    if (this.#cutBy === 'budget') return 0;
    const running = this.#hostCallSinceMs === undefined ? 0 : performance.now() - this.#hostCallSinceMs;
    return Math.max(0, this.#budget.hostTimeMs - this.#hostTimeMs - running);
  }

  /** Which limit of the budget is used up, in words; `undefined` when none is. */
  get overBudget(): string | undefined {
    const { exits, hostCalls, hostTimeMs, decodedBytes } = this.#budget;
    if (this.exits > exits) return `The call took ${this.exits} VM exits; its budget is ${exits}`;
    if (this.hostCalls > hostCalls) return `The call made more host calls than its budget of ${hostCalls}`;
    if (this.remainingHostTimeMs === 0) return `The call used up its ${hostTimeMs} ms of host time`;
    if (this.decodedBytes > decodedBytes)
      return `The call sent more than ${decodedBytes} bytes for the host to decode`;
    return undefined;
  }

  /** Counts a host call, and the time until `endHostCall`. */
  beginHostCall(): void {
    this.hostCalls++;
    this.#hostCallSinceMs = performance.now();
  }

  /** @param name of the host function; absent when there is none of the name that the guest gave. */
  endHostCall(name?: string): void {
    if (this.#hostCallSinceMs === undefined) return;
    this.#hostCallEndedNs = Number(process.hrtime.bigint());
    const durationMs = performance.now() - this.#hostCallSinceMs;
    this.#hostTimeMs += durationMs;
    this.#hostCallSinceMs = undefined;
    if (name !== undefined && this.hostCallTimes.length < MAX_HOST_CALL_TIMES)
      this.hostCallTimes.push({ name, durationUs: durationMs * 1000 });
  }

  /** Milliseconds between the guest's first entry and its end that it did not run: host functions, ways there and back. */
  get hostMs(): number {
    return this.#awayMs + Math.max(0, this.#hostCallEndedNs - (this.#leftNs ?? 0)) / 1e6;
  }

  /** What the guest sent to port 102 so far, without the terminator. */
  get abortBytes(): Uint8Array {
    return this.#abortBytes ?? new Uint8Array(0);
  }

  /**
   * Takes over what one run of the VM brought.
   *
   * @returns what is wrong with the guest's output, `undefined` when nothing is.
   */
  record(answer: RunAnswer): string | undefined {
    this.exits += answer.exits;
    this.dirtyPages += answer.dirtyPages;
    const nowMs = performance.now();
    if (this.#leftNs === undefined) this.queuedNs = answer.phases.queuedNs;
    else this.#awayMs += Math.max(0, answer.phases.enteredNs - this.#leftNs) / 1e6;
    this.#leftNs = answer.phases.leftNs;
    this.restoreNs += answer.phases.restoreNs;
    this.runNs += answer.phases.runNs;
    this.logsDropped += answer.outboxDropped;
    if (this.#timeoutMs !== undefined) this.#startedAtMs ??= nowMs - answer.phases.runNs / 1e6;
    this.trace?.addRun(answer);
    for (const entry of answer.outbox) {
      const problem = this.#take(entry);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #take(entry: OutboxEntry): string | undefined {
    this.decodedBytes += entry.bytes.byteLength;
    switch (entry.port) {
      case LOG_PORT:
        return this.#takeLog(entry.bytes);
      case ABORT_PORT:
        // One byte past the cap is enough to know that the guest sent too much.
        this.#abortBytes = Buffer.concat([this.abortBytes, entry.bytes]).subarray(0, MAX_ABORT_BYTES + 1);
        return undefined;
      case DEBUG_PRINT_PORT:
        return this.#takeCharacters(entry.bytes);
      case TRACE_PORT:
        this.trace?.addBatch(entry.bytes);
        return undefined;
      default:
        return `The outbox holds bytes of port ${entry.port}`;
    }
  }

  #takeLog(bytes: Uint8Array): string | undefined {
    if (this.logs.length >= MAX_LOG_RECORDS || this.#logBytes + bytes.byteLength > MAX_LOG_BYTES) {
      this.logsDropped++;
      return undefined;
    }
    this.#logBytes += bytes.byteLength;
    try {
      this.logs.push(decodeGuestLog(bytes));
      return undefined;
    } catch (error) {
      if (isMayflyError(error, 'MAYFLY_ERR_GUEST_PROTOCOL')) return error.message;
      throw error;
    }
  }

  #takeCharacters(bytes: Uint8Array): string | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 4 <= view.byteLength; at += 4) {
      const scalar = view.getUint32(at, true);
      if (scalar > 0x10ffff || (scalar >= 0xd800 && scalar <= 0xdfff))
        return `Invalid character for logging: ${scalar}`;
      this.debugPrinted.append(String.fromCodePoint(scalar));
    }
    return undefined;
  }

  /** Ends a wait for a host function, present or to come, and aborts its signal. The first cut counts. */
  cut(by: CutBy): void {
    if (this.#cutBy) return;
    this.#cutBy = by;
    this.#abort?.abort(abortReason(by));
    this.#endWait?.();
  }

  /** Waits for a host function, but no longer than the call lasts. What comes later is dropped. */
  async outlast<T>(work: PromiseLike<T>): Promise<T | typeof CUT> {
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    const cut = new Promise<typeof CUT>((resolve) => {
      this.#endWait = () => resolve(CUT);
      if (this.#cutBy) resolve(CUT);
    });
    const { remainingMs, remainingHostTimeMs } = this;
    const by = remainingMs <= remainingHostTimeMs ? 'deadline' : 'budget';
    const waitMs = Math.min(remainingMs, remainingHostTimeMs);
    if (waitMs <= MAX_TIMER_MS) timer = setTimeout(() => this.cut(by), Math.ceil(waitMs));
    const result = Promise.resolve(work).finally(() => {
      settled = true;
    });
    // A late rejection has nobody to hear it.
    result.catch(() => undefined);
    try {
      const answer = await Promise.race([result, cut]);
      return answer;
    } finally {
      clearTimeout(timer);
      this.#endWait = undefined;
      if (!settled) this.hostFunctionLate = true;
    }
  }
}

/** Longest that Node's timers take. */
const MAX_TIMER_MS = 2 ** 31 - 1;

function contextOf(state: CallState, call: unknown): HostCallContext {
  return {
    get signal() {
      return state.signal;
    },
    get remainingMs() {
      return state.remainingMs;
    },
    get remainingHostTimeMs() {
      return state.remainingHostTimeMs;
    },
    call,
  };
}

function abortReason(by: CutBy): DOMException {
  switch (by) {
    case 'kill':
      return new DOMException('The call was killed', 'AbortError');
    case 'deadline':
      return new DOMException('The call ran into its deadline', 'TimeoutError');
    case 'budget':
      return new DOMException('The call used up its host time', 'QuotaExceededError');
  }
}
