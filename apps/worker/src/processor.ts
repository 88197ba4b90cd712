import type { BlobStore } from '@mayfly/blobs';
import {
  type FunctionRef,
  type InvocationItem,
  isMayflyError,
  type KvmKind,
  type OutcomeDetail,
  type TypedValue,
} from '@mayfly/contracts';
import { type AsyncAttempts, type BegunCall, finalOf } from './async-attempts.js';
import { CancelOrders } from './cancel-orders.js';
import { workerError } from './errors.js';
import { decodeInput } from './input.js';
import { type BadItem, type ParsedJob, parseJob } from './job-parser.js';
import type { JobView } from './job-view.js';
import type { Permits } from './permits.js';
import type { GuestCallReport } from './pool/guest-image.js';
import type { Lease, SandboxPool } from './pool/sandbox-pool.js';
import type { Delivery, Settlement } from './reply/delivery.js';
import type { ReplyPace } from './reply/reply-connection.js';
import { isTooOld } from './retry.js';
import { hostFault, type InvocationFacts, type RunTimes, settleReport, settleUnrun } from './settlement.js';
import type { CallTelemetry } from './telemetry/call-telemetry.js';
import { bytesOfInput } from './value-bytes.js';
import type { AliasCounts } from './versions/alias-counts.js';
import type { Flights } from './versions/flights.js';
import type { QuarantineWatch } from './versions/quarantine.js';

/** Why a job's calls are stopped: the worker shuts down, or the job's lock went to another worker. */
export type StopReason = 'drain' | 'lost';

/** Why one call is killed: as its job is, or because its caller wants no more of it. */
type KillReason = StopReason | 'canceled';

export interface ProcessorDeps {
  readonly workerId: string;
  /** What this host stands on. */
  readonly kvm: KvmKind;
  readonly pool: Pick<SandboxPool, 'prepare' | 'lease'>;
  readonly permits: Permits;
  readonly blobs: Pick<BlobStore, 'get'>;
  readonly delivery: Pick<Delivery, 'deliver' | 'tellLost' | 'leave' | 'settled'>;
  readonly attempts: AsyncAttempts;
  readonly telemetry: CallTelemetry;
  readonly aliases?: Pick<AliasCounts, 'ended'>;
  /** Absent: no version is ever stopped. */
  readonly quarantine?: Pick<QuarantineWatch, 'check'> | undefined;
  readonly flights?: Pick<Flights, 'enter' | 'leave'> | undefined;
  /** Host faults, with their whole chain. */
  readonly onHostFault: (error: unknown, invocationId: string) => void;
}

interface Call {
  readonly job: JobView;
  readonly ref: FunctionRef;
  readonly item: InvocationItem;
  facts: InvocationFacts;
  /** Of an async call, once this attempt is on record. */
  begun?: BegunCall['begun'];
  readonly reply: ParsedJob['reply'];
  readonly pace: ReplyPace;
  /** Kills the call; the reason is a `KillReason`. */
  readonly kill: AbortController;
  phase: 'waiting' | 'invoking' | 'ended';
  /** Set once somebody canceled the call before a guest was under way: its one end. */
  canceled?: Promise<CallEnd>;
  end?: Promise<CallEnd>;
}

type CallEnd =
  /** It has its one outcome, on record, or its gateway has given it one, or its next attempt is queued. */
  | 'settled'
  /** That could not be written. */
  | 'unsettled'
  /** It is another worker's by now. */
  | 'lost';

type Execution =
  | { readonly report: GuestCallReport; readonly run: RunTimes }
  | { readonly settlement: Settlement }
  | 'expired'
  | 'stopped';

/** Runs jobs: each invocation on its own, to exactly one outcome. Knows nothing of the queue. */
export class Processor {
  readonly #deps: ProcessorDeps;
  /** The calls of each job that is held. */
  readonly #held = new Set<readonly Call[]>();
  readonly #orders = new CancelOrders();

  constructor(deps: ProcessorDeps) {
    this.#deps = deps;
  }

  /**
   * Guest faults are data and never fail a job.
   * @param signal its reason is a `StopReason`.
   * @throws MAYFLY_ERR_JOB_MALFORMED, MAYFLY_ERR_JOB_VERSION: nobody can run this job. MAYFLY_ERR_JOB_UNSETTLED:
   * what became of its calls could not be written; the queue brings it again. MAYFLY_ERR_JOB_LOST: another worker owns
   * the job; nothing more was written.
   */
  async process(job: JobView, signal: AbortSignal): Promise<void> {
    const takenAt = performance.now();
    try {
      await this.#process(job, signal, takenAt);
      this.#deps.telemetry.jobEnded(job, takenAt);
    } catch (error) {
      this.#deps.telemetry.jobEnded(job, takenAt, error);
      throw error;
    }
  }

  async #process(job: JobView, signal: AbortSignal, takenAt: number): Promise<void> {
    const parsed = parseJob(job.data);
    const { items } = parsed;
    const calls = items.map<Call>((item) => ({
      job,
      ref: parsed.function,
      item,
      facts: this.#facts(job, parsed, item, takenAt),
      reply: parsed.reply,
      pace: items.length > 1 ? 'gathered' : 'at-once',
      kill: new AbortController(),
      phase: 'waiting',
    }));
    const ends = await this.#holding(calls, signal, () =>
      Promise.all([
        ...calls.map((call) => {
          call.end = this.#run(call);
          return call.end;
        }),
        ...parsed.badItems.map((item) => this.#refuse(job, parsed, item, takenAt)),
      ]),
    );
    this.#deps.delivery.leave(parsed.reply);

    if (signal.aborted && signal.reason === 'lost')
      throw workerError('MAYFLY_ERR_JOB_LOST', 'another worker owns the job');
    if (ends.includes('unsettled'))
      throw workerError('MAYFLY_ERR_JOB_UNSETTLED', 'ends of invocations of this job are not on record');
  }

  /** While the calls are held they can be canceled, and end with their job. */
  async #holding<T>(calls: readonly Call[], signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const stop = () => {
      for (const { kill } of calls) kill.abort(signal.reason);
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    this.#held.add(calls);
    try {
      return await work();
    } finally {
      this.#held.delete(calls);
      signal.removeEventListener('abort', stop);
    }
  }

  /**
   * Kills the call if it is here, and does not begin it if it comes later. Resolves once its guest has stopped and an
   * end is on its way to the records.
   * @returns whether it was here.
   */
  async cancel(tenant: string, invocationId: string): Promise<boolean> {
    this.#orders.add(tenant, invocationId);
    const call = this.#find(tenant, invocationId);
    if (call === undefined) return false;
    call.kill.abort('canceled' satisfies KillReason);
    if (call.phase === 'waiting') await this.#canceled(call);
    else await call.end;
    this.#deps.delivery.leave(call.reply);
    return true;
  }

  #find(tenant: string, invocationId: string): Call | undefined {
    for (const calls of this.#held)
      for (const call of calls)
        if (call.item.invocationId === invocationId && call.ref.tenant === tenant) return call;
    return undefined;
  }

  /** Gives the invocations of a job that the queue gave up (its worker died too often) their outcome. */
  async settleLost(job: JobView, detail: string): Promise<void> {
    const takenAt = performance.now();
    const parsed = parseJob(job.data);
    const items = await this.#unsettledOf(parsed);
    await Promise.all(
      items.map(async (item) => {
        const facts = this.#facts(job, parsed, item, takenAt);
        const unrun = settleUnrun(facts, { outcome: 'host-fault', detail: { message: detail } });
        const end =
          job.lane === 'async' ? await this.#givenUp(parsed.function, item, { end: unrun, job }) : unrun;
        const told = this.#deps.delivery.tellLost(end, parsed.reply);
        this.#deps.telemetry.ended({ job, ref: parsed.function, settlement: end, trace: facts.trace });
        return told;
      }),
    );
  }

  /** The attempts that were lost with their workers are on record: one that begins now counts them. */
  async #givenUp(
    ref: FunctionRef,
    item: InvocationItem,
    { end, job }: { end: Settlement; job: JobView },
  ): Promise<Settlement> {
    const begun = await this.#deps.attempts.begin(ref, item, job.id);
    const attempts = begun?.past ?? [];
    const record = { ...end.record, attempt: Math.max(1, attempts.length) };
    return finalOf({ ref, item }, { ...end, record }, { attempts, state: 'dead_lettered' });
  }

  async #unsettledOf({ function: ref, items }: ParsedJob): Promise<InvocationItem[]> {
    const ids = items.map(({ invocationId }) => invocationId);
    const settled = await this.#deps.delivery.settled(ref.tenant, ids);
    return items.filter(({ invocationId }) => !settled.has(invocationId));
  }

  async #run(call: Call): Promise<CallEnd> {
    try {
      if (call.job.lane === 'async' && !(await this.#begin(call))) return 'settled';
      if (this.#orders.has(call.ref.tenant, call.item.invocationId) || call.begun?.isCanceled)
        return this.#canceled(call);
      const execution = await this.#execute(call);
      if (call.canceled) return await call.canceled;
      call.phase = 'ended';
      if (isLost(call)) return 'lost';
      if (execution === 'expired') return 'settled';
      if (execution === 'stopped') return await this.#stopped(call);
      if ('settlement' in execution) return await this.#conclude(call, execution.settlement);
      const { report, run } = execution;
      return await this.#conclude(call, settleReport(call.facts, report, run), { report });
    } catch (error) {
      return this.#failed(call, error);
    }
  }

  /** @returns whether there is anything to do: the call may have an end. */
  async #begin(call: Call): Promise<boolean> {
    const begun = await this.#deps.attempts.begin(call.ref, call.item, call.job.id);
    if (begun === undefined) return false;
    call.begun = begun;
    call.facts = { ...call.facts, attempt: begun.attempt };
    return true;
  }

  async #execute(call: Call): Promise<Execution> {
    const { job, ref, item } = call;
    const { signal } = call.kill;
    const { pool, permits, blobs, telemetry } = this.#deps;
    if (isExpired(item)) return 'expired';
    if (job.lane === 'async' && isTooOld(item.acceptedAtMs, item.retry, Date.now()))
      return this.#tooOld(call);
    this.#checkKvm(ref);
    this.#deps.quarantine?.check(ref);
    const decoded = decodeInput(item.input, ref.tenant, blobs);
    const args = decoded instanceof Promise ? await decoded : decoded;
    // Initialising a version can take long, so it does not hold a permit.
    const preparing = pool.prepare(ref);
    telemetry.versionFound(preparing === undefined);
    const built = preparing !== undefined && (await preparing).built;
    const waiting = permits.acquire(job.lane);
    if (waiting) await waiting;
    try {
      for (;;) {
        if (signal.aborted) return 'stopped';
        if (isExpired(item)) return 'expired';
        const lease = await pool.lease(ref);
        if (!lease.ok) return { settlement: settleUnrun(call.facts, lease.failure) };
        const execution = await this.#invoke(call, args, lease, built);
        if (execution !== 'revoked') return execution;
        call.phase = 'waiting';
      }
    } finally {
      permits.release();
    }
  }

  #tooOld({ ref, item, facts, begun }: Call): Execution {
    const detail = { message: 'The call grew older than maxAgeMs before it could begin' };
    const end = settleUnrun(facts, { outcome: 'host-fault', detail });
    return { settlement: finalOf({ ref, item }, end, { attempts: begun?.past ?? [], state: 'expired' }) };
  }

  /** Before the version is even looked for: to initialise it is to run it. */
  #checkKvm({ requiresKvm }: FunctionRef): void {
    const { kvm } = this.#deps;
    if (requiresKvm === undefined || requiresKvm === kvm) return;
    throw workerError('MAYFLY_ERR_KVM_KIND', `the tenant requires ${requiresKvm} KVM, and this is ${kvm}`, {
      details: { required: requiresKvm, kvm },
    });
  }

  async #invoke(
    call: Call,
    args: readonly TypedValue[],
    lease: Extract<Lease, { ok: true }>,
    built: boolean,
  ): Promise<Execution | 'revoked'> {
    const { ref, item, facts } = call;
    const { signal } = call.kill;
    const acquiredAt = performance.now();
    let doubtful = false;
    call.phase = 'invoking';
    if (call.begun) this.#deps.attempts.running({ ref, item, begun: call.begun });
    this.#deps.flights?.enter(ref);
    try {
      const report = await lease.sandbox.invoke(item.entrypoint, args, item.returns, {
        timeoutMs: item.timeoutMs,
        signal,
        context: {
          tenant: ref.tenant,
          function: ref.name,
          version: ref.version,
          invocationId: item.invocationId,
          attempt: facts.attempt,
          ...(item.env && { env: item.env }),
          ...(item.secrets && { secrets: item.secrets }),
        },
        trace: this.#deps.telemetry.wantsGuestTrace(facts.trace),
      });
      if (signal.aborted && signal.reason !== 'canceled' && report.outcome === 'canceled') return 'stopped';
      if (lease.isRevoked && !signal.aborted) return 'revoked';
      return { report, run: { acquiredAt, source: built ? 'boot' : lease.source } };
    } catch (error) {
      const detail = refusalOf(error);
      doubtful = detail === undefined;
      if (detail === undefined) throw error;
      return { settlement: settleUnrun(facts, { outcome: 'protocol', detail }) };
    } finally {
      this.#deps.flights?.leave(ref);
      lease.release({ doubtful });
    }
  }

  /** A call that was canceled before a guest was under way. */
  #canceled(call: Call): Promise<CallEnd> {
    const detail = { message: 'The call was canceled before it began' };
    call.canceled ??= this.#deliver(call, settleUnrun(call.facts, { outcome: 'canceled', detail }));
    return call.canceled;
  }

  /** The worker shuts down: a waiting caller is told, an async invocation goes to another worker. */
  #stopped(call: Call): Promise<CallEnd> | CallEnd {
    if (call.kill.signal.reason === 'canceled') return this.#canceled(call);
    const detail = { message: 'The worker shut down before the call ended' };
    return this.#conclude(call, settleUnrun(call.facts, { outcome: 'host-fault', detail }), {
      isCurable: true,
    });
  }

  /** An attempt has ended: a sync call with it; an async one may be tried again. */
  async #conclude(
    call: Call,
    end: Settlement,
    { report, isCurable = false }: { report?: GuestCallReport; isCurable?: boolean } = {},
  ): Promise<CallEnd> {
    const { ref, item, begun } = call;
    // An end that has its state is final.
    if (begun === undefined || end.record.state !== undefined) return this.#deliver(call, end, report);
    const final = await this.#deps.attempts.conclude({ ref, item, begun }, end, isCurable);
    if (final !== undefined) return this.#deliver(call, final, report);
    this.#deps.telemetry.triedAgain(call.job, end.record, call.facts);
    return 'settled';
  }

  async #failed(call: Call, error: unknown): Promise<CallEnd> {
    if (call.canceled) return call.canceled;
    call.phase = 'ended';
    if (isLost(call)) return 'lost';
    this.#deps.onHostFault(error, call.item.invocationId);
    this.#deps.telemetry.hostFault(error);
    const isCurable = !isMayflyError(error) || error.definition.retryable;
    // Without a begun attempt nothing is known of the call, and nothing can be written: the queue brings it again.
    if (call.job.lane === 'async' && call.begun === undefined) return 'unsettled';
    return this.#conclude(call, settleUnrun(call.facts, hostFault(error)), { isCurable });
  }

  #refuse(job: JobView, parsed: ParsedJob, item: BadItem, takenAt: number): Promise<CallEnd> {
    const problem = workerError('MAYFLY_ERR_JOB_MALFORMED', `item: ${item.problem}`);
    this.#deps.onHostFault(problem, item.invocationId);
    this.#deps.telemetry.hostFault(problem);
    const facts = this.#facts(job, parsed, item, takenAt);
    const call = { job, ref: parsed.function, facts, reply: parsed.reply, pace: 'at-once' } as const;
    return this.#deliver(call, settleUnrun(facts, hostFault(problem)));
  }

  /** A waiting caller has its answer from the reply; an async one only from the record, so that is waited for. */
  async #deliver(
    { job, ref, facts, reply, pace }: Pick<Call, 'job' | 'ref' | 'facts' | 'reply' | 'pace'>,
    settlement: Settlement,
    report?: GuestCallReport,
  ): Promise<CallEnd> {
    const kept = this.#deps.delivery.deliver(settlement, reply, pace);
    if (facts.alias !== undefined) this.#deps.aliases?.ended(ref, facts.alias, settlement.record.outcome);
    this.#deps.telemetry.ended({ job, ref, settlement, trace: facts.trace, report });
    if (job.lane === 'async') {
      const isKept = await kept.then(
        () => true,
        () => false,
      );
      return isKept ? 'settled' : 'unsettled';
    }
    kept.catch(() => undefined);
    return 'settled';
  }

  #facts(job: JobView, { function: ref }: ParsedJob, item: InvocationItem | BadItem, takenAt: number) {
    const { memory } = ref;
    const facts: InvocationFacts = {
      invocationId: item.invocationId,
      class: job.lane,
      tenant: ref.tenant,
      function: ref.name,
      version: ref.version,
      alias: 'alias' in item ? item.alias : undefined,
      entrypoint: item.entrypoint,
      returns: item.returns,
      replyToken: item.replyToken,
      storeResult: 'storeResult' in item ? item.storeResult : undefined,
      attempt: job.attempt,
      workerId: this.#deps.workerId,
      acceptedAtMs: item.acceptedAtMs,
      memoryBytes: memory.heapBytes + memory.stackBytes + memory.inputBytes + memory.outputBytes,
      inputBytes: 'input' in item ? bytesOfInput(item.input) : 0,
      takenAt,
      trace: this.#deps.telemetry.begin(item, job),
    };
    return facts;
  }
}

function isExpired({ expiresAtMs }: InvocationItem): boolean {
  return expiresAtMs !== undefined && Date.now() >= expiresAtMs;
}

/** Why a call was refused before it ran: its input does not suit the version, for which no retry is a cure. */
function refusalOf(error: unknown): OutcomeDetail | undefined {
  if (!isMayflyError(error) || error.definition.fault === 'host' || error.definition.status >= 500)
    return undefined;
  return { message: `${error.definition.title}: ${error.message}` };
}

function isLost({ kill: { signal } }: Pick<Call, 'kill'>): boolean {
  return signal.aborted && signal.reason === 'lost';
}
