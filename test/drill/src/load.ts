import { setTimeout as delay } from 'node:timers/promises';
import type { Fleet } from './fleet.js';
import type { Answer, Entry, History } from './history.js';

/** The gateway's own limit for a sync call is its queue wait and the guest's time; past this, it is silent. */
const ANSWER_LIMIT_MS = 60_000;
const TIMEOUT_MS = 2_000;
const READERS = 8;

export interface LoadOptions {
  /** Callers, each with one call at a time. */
  readonly callers: number;
  /** Share of async calls. @defaultValue 0.5 */
  readonly asyncShare?: number;
  /** Steps of the guest's loop: some 1.5 ns each. @defaultValue 3,000,000 */
  readonly maxSteps?: number;
  /** What a caller pauses between two calls. @defaultValue 20 */
  readonly pauseMs?: number;
}

/** Callers that ask until they are told to stop, and write down all they hear. */
export class Load {
  readonly #fleet: Fleet;
  readonly #history: History;
  readonly #options: LoadOptions;
  readonly #callers: Promise<void>[];
  #isOver = false;

  constructor(fleet: Fleet, history: History, options: LoadOptions) {
    this.#fleet = fleet;
    this.#history = history;
    this.#options = options;
    this.#callers = Array.from({ length: options.callers }, () => this.#caller());
  }

  /** Resolves when the last caller has its answer, or has waited for it long enough. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#callers);
  }

  async #caller(): Promise<void> {
    const { asyncShare = 0.5, maxSteps = 3_000_000, pauseMs = 20 } = this.#options;
    while (!this.#isOver) {
      // As a load balancer does, which sees that a gateway is down.
      const up = [...this.#fleet.gateways.keys()].filter((gateway) => !this.#history.isDown(gateway));
      const gateway = up[Math.floor(Math.random() * up.length)];
      if (gateway !== undefined)
        await ask(this.#fleet, this.#history, {
          lane: Math.random() < asyncShare ? 'async' : 'sync',
          steps: 1 + Math.floor(Math.random() * maxSteps),
          gateway,
        });
      await delay(pauseMs);
    }
  }
}

/** One call, to its answer. */
export async function ask(
  fleet: Fleet,
  history: History,
  question: Pick<Entry, 'lane' | 'steps' | 'gateway'>,
): Promise<Entry> {
  const entry: Entry = { ...question, askedAtMs: Date.now(), limitMs: ANSWER_LIMIT_MS, ends: [] };
  history.entries.push(entry);
  const body = {
    ...{ function: 'spin', entrypoint: 'Work', args: [entry.steps], returns: 'uint' },
    timeoutMs: TIMEOUT_MS,
  };
  const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
  try {
    const response = await fleet.request(entry.gateway, '/invoke', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(entry.lane === 'async' && { prefer: 'respond-async' }),
      },
      body: JSON.stringify(body),
      signal,
    });
    const id = response.headers.get('invocation-id');
    if (id !== null) entry.invocationId = id;
    entry.answer = answerOf(response.status, await response.text());
  } catch (error) {
    // Too late is no answer: the entry keeps none.
    if (!signal.aborted) entry.answer = { kind: 'cut', why: whyOf(error), atMs: Date.now() };
  }
  return entry;
}

function answerOf(status: number, text: string): Answer {
  const atMs = Date.now();
  const body = parse(text);
  if (status === 202) return { kind: 'accepted', atMs };
  if (status === 200 && 'result' in body) return { kind: 'result', value: plainValue(body['result']), atMs };
  if (typeof body['code'] === 'string') return { kind: 'problem', status, code: body['code'], atMs };
  return { kind: 'strange', text: `${status} ${text.slice(0, 200)}`, atMs };
}

/** A number as JSON has it, or `{type, value}`. */
function plainValue(result: unknown): unknown {
  return typeof result === 'object' && result !== null && 'value' in result ? result.value : result;
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function whyOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? `${(cause as NodeJS.ErrnoException).code ?? cause.message}` : String(cause);
}

/**
 * Reads the record of every call that has an id, on each gateway in turn, until those of acknowledged calls have their
 * end or the time is over; then once more on each gateway, since an end that changes is two ends.
 */
export async function readRecords(fleet: Fleet, history: History, limitMs: number): Promise<void> {
  const deadlineMs = Date.now() + limitMs;
  const queue = history.entries.filter(({ invocationId }) => invocationId !== undefined);
  const reader = async (turn: number) => {
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      for (let look = turn; ; look += 1) {
        await readRecord(fleet, entry, look % fleet.gateways.length);
        const isAwaited = entry.lane === 'async' && entry.answer?.kind === 'accepted';
        if (entry.ends.length > 0 || !isAwaited || Date.now() > deadlineMs) break;
        await delay(200);
      }
    }
  };
  await Promise.all(Array.from({ length: READERS }, (_, turn) => reader(turn)));
  const again = history.entries.filter(({ invocationId }) => invocationId !== undefined);
  const rereader = async () => {
    for (let entry = again.shift(); entry !== undefined; entry = again.shift()) {
      for (const gateway of fleet.gateways.keys()) await readRecord(fleet, entry, gateway);
      if (entry.lane === 'async' && entry.ends[0]?.startsWith('succeeded '))
        await readResult(fleet, entry, 0);
    }
  };
  await Promise.all(Array.from({ length: READERS }, rereader));
}

/** Reads the record once, and writes down an end that it was not known to have. */
export async function readRecord(fleet: Fleet, entry: Entry, gateway: number): Promise<void> {
  try {
    const response = await fleet.request(gateway, `/v1/invocations/${entry.invocationId}`, {
      signal: AbortSignal.timeout(10_000),
    });
    const record = parse(await response.text());
    entry.lastSeen = `${response.status} ${String(record['state'] ?? record['code'])}`;
    const { outcome } = record;
    if (typeof outcome !== 'string') return;
    const end = endOf(record, outcome);
    if (!entry.ends.includes(end)) entry.ends.push(end);
  } catch (error) {
    entry.lastSeen = whyOf(error);
  }
}

/** What must not change once it was seen: the outcome, and who said so when. */
function endOf({ attempt, finishedAtMs }: Record<string, unknown>, outcome: string): string {
  return `${outcome} (attempt ${String(attempt)}, finished at ${String(finishedAtMs)})`;
}

/** What the invocation's result is read to be. */
async function readResult(fleet: Fleet, entry: Entry, gateway: number): Promise<void> {
  try {
    const target = `/v1/invocations/${entry.invocationId}/result`;
    const response = await fleet.request(gateway, target, { signal: AbortSignal.timeout(10_000) });
    const answer = answerOf(response.status, await response.text());
    entry.result = answer.kind === 'result' ? answer.value : JSON.stringify(answer);
  } catch (error) {
    entry.result = whyOf(error);
  }
}
