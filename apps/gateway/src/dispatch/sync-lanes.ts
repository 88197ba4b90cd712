import type { FunctionRef, InvocationItem } from '@mayfly/contracts';
import type { Admission } from '@mayfly/queue';
import { holdMs, planJobs } from './pack-policy.js';

/**
 * DESIGN: one lane per function version. A call enters its lane's pending list; at the end of the tick (setImmediate)
 * the policy decides which calls leave in which jobs. Calls that stay wait for a job of the lane to end or for
 * `holdMs`, whichever comes first. A ticket is open from `submit` to `settle`; a job ends when its last ticket does.
 */
/** Weight of the newest run or job in the moving averages. */
const NEWEST = 0.2;
const MAX_IDLE_LANES = 1_000;

/** One call on its way; give it back to `settle` exactly once. */
export interface Ticket {
  readonly lane: Lane;
  readonly item: InvocationItem;
  readonly sizeBytes: number;
  /** Called when the call has come in. */
  readonly onSent: (admission: Admission) => void;
  /** Called when it was not let in. */
  readonly onRefused: (admission: Admission) => void;
  /** Called when the call's job could not be added. */
  readonly onLost: (error: unknown) => void;
  job: { open: number; readonly sentAtMs: number; jobId?: string } | undefined;
}

interface Lane {
  readonly key: string;
  readonly ref: FunctionRef;
  pending: Ticket[];
  jobsInFlight: number;
  callsInFlight: number;
  typicalRunUs: number | undefined;
  /** Sent → last call answered. */
  typicalJobMs: number | undefined;
  scheduled: boolean;
  holdTimer: NodeJS.Timeout | undefined;
}

/** Lets the first of these calls in, as many as may come. */
export type AddJob = (ref: FunctionRef, items: readonly InvocationItem[]) => Promise<Admission>;

export class SyncLanes {
  readonly #addJob: AddJob;
  readonly #lanes = new Map<string, Lane>();

  constructor(addJob: AddJob) {
    this.#addJob = addJob;
  }

  submit(
    ref: FunctionRef,
    call: Pick<Ticket, 'item' | 'sizeBytes' | 'onSent' | 'onRefused' | 'onLost'>,
  ): Ticket {
    const lane = this.#lane(ref);
    const ticket: Ticket = { lane, ...call, job: undefined };
    lane.pending.push(ticket);
    this.#schedule(lane);
    return ticket;
  }

  /** The call has ended, however. `runUs`: what it took in its sandbox, when it ran. */
  settle(ticket: Ticket, runUs?: number): void {
    const { lane, job } = ticket;
    if (runUs !== undefined) lane.typicalRunUs = average(lane.typicalRunUs, runUs);
    if (job === undefined) {
      lane.pending = lane.pending.filter((waiting) => waiting !== ticket);
    } else {
      job.open -= 1;
      lane.callsInFlight -= 1;
      if (job.open > 0) return;
      lane.jobsInFlight -= 1;
      lane.typicalJobMs = average(lane.typicalJobMs, performance.now() - job.sentAtMs);
      if (lane.pending.length > 0) this.#schedule(lane);
    }
    if (lane.jobsInFlight === 0 && lane.pending.length === 0 && this.#lanes.size > MAX_IDLE_LANES)
      this.#lanes.delete(lane.key);
  }

  #lane(ref: FunctionRef): Lane {
    const key = `${ref.tenant} ${ref.name} ${ref.version}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = {
        key,
        ref,
        pending: [],
        jobsInFlight: 0,
        callsInFlight: 0,
        typicalRunUs: undefined,
        typicalJobMs: undefined,
        scheduled: false,
        holdTimer: undefined,
      };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #schedule(lane: Lane): void {
    if (lane.scheduled) return;
    lane.scheduled = true;
    setImmediate(() => {
      lane.scheduled = false;
      this.#flush(lane, false);
    });
  }

  #flush(lane: Lane, overdue: boolean): void {
    if (lane.pending.length === 0) return;
    const sizes = planJobs({
      pendingBytes: lane.pending.map((ticket) => ticket.sizeBytes),
      jobsInFlight: lane.jobsInFlight,
      callsInFlight: lane.callsInFlight,
      typicalRunUs: lane.typicalRunUs,
      overdue,
    });
    let sent = 0;
    for (const size of sizes) {
      this.#send(lane, lane.pending.slice(sent, sent + size));
      sent += size;
    }
    lane.pending = lane.pending.slice(sent);
    this.#hold(lane);
  }

  /** Bounds how long the calls that stay behind wait for company. */
  #hold(lane: Lane): void {
    if (lane.pending.length === 0) {
      clearTimeout(lane.holdTimer);
      lane.holdTimer = undefined;
      return;
    }
    lane.holdTimer ??= setTimeout(() => {
      lane.holdTimer = undefined;
      this.#flush(lane, true);
    }, holdMs(lane.typicalJobMs));
  }

  #send(lane: Lane, tickets: readonly Ticket[]): void {
    const job: NonNullable<Ticket['job']> = { open: tickets.length, sentAtMs: performance.now() };
    for (const ticket of tickets) ticket.job = job;
    lane.jobsInFlight += 1;
    lane.callsInFlight += tickets.length;
    const items = tickets.map((ticket) => ticket.item);
    this.#addJob(lane.ref, items).then(
      (admission) => {
        if (admission.jobId !== '') job.jobId = admission.jobId;
        for (const [index, ticket] of tickets.entries())
          (index < admission.admitted ? ticket.onSent : ticket.onRefused)(admission);
      },
      (error: unknown) => {
        for (const ticket of tickets) ticket.onLost(error);
      },
    );
  }
}

function average(known: number | undefined, newest: number): number {
  return known === undefined ? newest : known * (1 - NEWEST) + newest * NEWEST;
}
