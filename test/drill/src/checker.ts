import { type Entry, type History, workOf } from './history.js';

export interface Verdict {
  readonly counts: Readonly<Record<string, number>>;
  /** Broken promises, one line each. */
  readonly violations: readonly string[];
}

export interface Promises {
  /** What was acknowledged then may be lost: Redis itself was killed, and its file is on disk every second. */
  readonly mayLose?: { readonly sinceMs: number; readonly untilMs: number };
  /** How often each invocation was given to a sandbox. */
  readonly guestEntries: ReadonlyMap<string, number>;
}

/** Holds what was promised against what was seen. */
export function check(history: History, promises: Promises): Verdict {
  const counts: Record<string, number> = {};
  const violations: string[] = [];
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  for (const entry of history.entries) {
    const broken = (what: string) => violations.push(`${what}: ${describe(entry)}`);
    count(entry.lane);
    count(`${entry.lane} ${answerName(entry)}`);
    if (entry.answer === undefined) broken('silence');
    if (entry.answer?.kind === 'strange') broken('an answer without a name');
    if (entry.answer?.kind === 'cut' && !excused(history, entry))
      broken('a connection ended, and its gateway had not died');
    if (entry.answer?.kind === 'result' && entry.answer.value !== workOf(entry.steps))
      broken('a wrong result');
    if (entry.ends.length > 1) broken('two terminal outcomes');
    checkRecord(entry, promises, { count, broken });
    checkEntries(entry, promises, { count, broken });
  }
  return { counts, violations };
}

interface Report {
  readonly count: (name: string) => void;
  readonly broken: (what: string) => void;
}

function checkRecord(entry: Entry, { mayLose }: Promises, { count, broken }: Report): void {
  const [end] = entry.ends;
  if (entry.lane === 'sync') {
    const answered = entry.answer?.kind === 'result' ? 'succeeded' : undefined;
    if (answered !== undefined && end !== undefined && !end.startsWith('succeeded '))
      broken('answered with a result, and recorded as something else');
    return;
  }
  if (entry.answer?.kind !== 'accepted') return;
  if (end === undefined) {
    const mayBeLost =
      mayLose !== undefined && entry.answer.atMs >= mayLose.sinceMs && entry.answer.atMs <= mayLose.untilMs;
    if (mayBeLost) count('async lost, as the promise of everysec allows');
    else broken('an acknowledged invocation is lost');
    return;
  }
  const [word = ''] = end.split(' ');
  count(`async ended ${word}`);
  if (word === 'succeeded' && entry.result !== workOf(entry.steps)) broken('a wrong result on record');
}

function checkEntries(entry: Entry, { guestEntries }: Promises, { count, broken }: Report): void {
  const times = guestEntries.get(entry.invocationId ?? '') ?? 0;
  if (times < 2) return;
  if (entry.lane === 'sync') broken(`a sync call ran ${times} times`);
  else count('async ran more than once');
}

/** Whether its gateway was dead, or stood still, at some time between the question and the end of the connection. */
function excused({ gatewayFaults }: History, { gateway, askedAtMs, answer }: Entry): boolean {
  const endedAtMs = answer?.atMs ?? Number.POSITIVE_INFINITY;
  return gatewayFaults.some(
    (fault) => fault.gateway === gateway && fault.fromMs <= endedAtMs && fault.untilMs >= askedAtMs,
  );
}

function answerName({ answer }: Entry): string {
  if (answer === undefined) return 'unanswered';
  return answer.kind === 'problem' ? `${answer.status} ${answer.code}` : answer.kind;
}

function describe(entry: Entry): string {
  const { lane, steps, gateway, askedAtMs, answer, invocationId, ends, lastSeen } = entry;
  const asked = new Date(askedAtMs).toISOString();
  return `${lane} Work(${steps}) ${invocationId ?? 'without an id'} asked of gateway ${gateway} at ${asked}, answered ${
    answer ? JSON.stringify(answer) : 'never'
  }, record ${ends.length > 0 ? ends.join(' | ') : (lastSeen ?? 'never read')}`;
}
