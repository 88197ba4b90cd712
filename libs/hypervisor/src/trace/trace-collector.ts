import { isMayflyError } from '@mayfly/contracts';
import type { RunAnswer } from '../driver.js';
import { decodeCapped } from './capped-utf8.js';
import { RunClocks } from './run-clocks.js';
import { readTraceBatch, type TraceEntry, type TraceFields } from './trace-batch.js';
import {
  type GuestEvent,
  type GuestField,
  type GuestHostCall,
  type GuestSpan,
  type GuestTrace,
  TRACE_LIMITS,
} from './types.js';

/** Entries that one call may bring, the end of each span counted: a batch can name one entry many times. */
const MAX_ENTRIES = 2 * TRACE_LIMITS.spans + TRACE_LIMITS.events;

type OpenSpan = { -readonly [Key in keyof GuestSpan]: GuestSpan[Key] };

/** What a guest tells of one call, gathered batch by batch. Everything in a batch is the guest's word. */
export class TraceCollector {
  readonly #clocks = new RunClocks();
  readonly #spans: OpenSpan[] = [];
  readonly #events: GuestEvent[] = [];
  readonly #hostCalls: GuestHostCall[] = [];
  readonly #dropped = { batches: 0, spans: 0, events: 0, hostCalls: 0, fields: 0 };
  readonly #indexOfId = new Map<bigint, number>();
  /** Indexes of the spans that are open, outermost first. */
  #open: number[] = [];
  #batches = 0;
  #entries = 0;
  #textLeft: number = TRACE_LIMITS.textLength;
  #lastBatch: Uint8Array | undefined;

  /** Takes over the clocks of a run, before its batches. */
  addRun(answer: RunAnswer): void {
    if (answer.clock) this.#clocks.add(answer.clock);
    this.#dropped.batches += answer.tracesDropped ?? 0;
  }

  /** A batch as it came. Malformed ones are counted, and what they held before the fault stays. */
  addBatch(bytes: Uint8Array): void {
    // Guests leave the registers that name a batch as they are, over the end of a run, too.
    if (this.#lastBatch && Buffer.compare(this.#lastBatch, bytes) === 0) return;
    this.#lastBatch = bytes;
    this.#batches++;
    if (
      this.#batches > TRACE_LIMITS.batches ||
      bytes.byteLength > TRACE_LIMITS.batchBytes ||
      this.#entries > MAX_ENTRIES
    ) {
      this.#dropped.batches++;
      return;
    }
    try {
      for (const entry of readTraceBatch(bytes)) {
        if (this.#entries++ === MAX_ENTRIES) {
          this.#dropped.batches++;
          return;
        }
        this.#add(entry);
      }
    } catch (error) {
      if (!isMayflyError(error, 'MAYFLY_ERR_GUEST_PROTOCOL')) throw error;
      this.#dropped.batches++;
    }
  }

  /**
   * A host function that has ended, which began at the guest's last exit.
   *
   * @param name the guest's word
   */
  addHostCall(name: string, ok: boolean): void {
    if (this.#hostCalls.length === TRACE_LIMITS.hostCalls) {
      this.#dropped.hostCalls++;
      return;
    }
    const parent = this.#open.at(-1);
    const startNs = this.#clocks.lastLeftNs;
    this.#hostCalls.push({
      name: this.#text(Buffer.from(name.slice(0, TRACE_LIMITS.nameLength)), TRACE_LIMITS.nameLength),
      ...(parent !== undefined && { parent }),
      startNs,
      endNs: Math.max(startNs, this.#clocks.sinceEntryNs(Number(process.hrtime.bigint()))),
      ok,
    });
  }

  /** The call has ended: spans that are still open end with it. */
  finish(): GuestTrace {
    const endNs = this.#clocks.lastLeftNs;
    for (const index of this.#open) (this.#spans[index] as OpenSpan).endNs = endNs;
    this.#open = [];
    return {
      enteredUnixNs: unixNs(this.#clocks.firstEnteredNs),
      spans: this.#spans,
      events: this.#events,
      hostCalls: this.#hostCalls,
      dropped: this.#dropped,
    };
  }

  #add(entry: TraceEntry): void {
    switch (entry.kind) {
      case 'open':
        this.#openSpan(entry);
        return;
      case 'close':
        this.#closeSpan(entry.id, entry.tsc);
        return;
      case 'event':
        this.#addEvent(entry);
    }
  }

  #openSpan({ id, parent, name, target, tsc, fields }: Extract<TraceEntry, { kind: 'open' }>): void {
    if (this.#spans.length === TRACE_LIMITS.spans || this.#indexOfId.has(id)) {
      this.#dropped.spans++;
      return;
    }
    const startNs = this.#clocks.map(tsc);
    const index = this.#spans.length;
    // First, for its texts may turn out to be malformed.
    this.#spans.push({
      name: this.#text(name, TRACE_LIMITS.nameLength),
      target: this.#text(target, TRACE_LIMITS.nameLength),
      // It has no index yet, and so is not its own parent.
      ...this.#parent(parent),
      startNs,
      endNs: startNs,
      closed: false,
      fields: this.#fields(fields),
    });
    this.#indexOfId.set(id, index);
    this.#open.push(index);
  }

  /** The end of a span that is not open says nothing. */
  #closeSpan(id: bigint, tsc: bigint): void {
    const index = this.#indexOfId.get(id);
    const span = index === undefined ? undefined : this.#spans[index];
    if (index === undefined || !span || span.closed) return;
    span.closed = true;
    span.endNs = Math.max(span.startNs, this.#clocks.map(tsc));
    const at = this.#open.lastIndexOf(index);
    if (at >= 0) this.#open.splice(at, 1);
  }

  #addEvent({ parent, name, tsc, fields }: Extract<TraceEntry, { kind: 'event' }>): void {
    if (this.#events.length === TRACE_LIMITS.events) {
      this.#dropped.events++;
      return;
    }
    this.#events.push({
      name: this.#text(name, TRACE_LIMITS.nameLength),
      ...this.#parent(parent),
      timeNs: this.#clocks.map(tsc),
      fields: this.#fields(fields),
    });
  }

  #parent(id: bigint | undefined): { parent?: number } {
    const index = id === undefined ? undefined : this.#indexOfId.get(id);
    return index === undefined ? {} : { parent: index };
  }

  #fields(fields: TraceFields): GuestField[] {
    const kept: GuestField[] = [];
    const count = Math.min(fields.count, TRACE_LIMITS.fields);
    while (kept.length < count && this.#textLeft > 0) {
      const { key, value } = fields.at(kept.length);
      kept.push([this.#text(key, TRACE_LIMITS.nameLength), this.#text(value, TRACE_LIMITS.valueLength)]);
    }
    this.#dropped.fields += fields.count - kept.length;
    return kept;
  }

  #text(bytes: Uint8Array, maxLength: number): string {
    const text = decodeCapped(bytes, Math.min(maxLength, this.#textLeft));
    this.#textLeft -= text.length;
    return text;
  }
}

/** A moment of CLOCK_MONOTONIC as nanoseconds since 1970, by the clock that `performance` keeps. */
function unixNs(monotonicNs: number | undefined): bigint {
  const nowNs =
    BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n + BigInt(Math.round(performance.now() * 1e6));
  return monotonicNs === undefined
    ? nowNs
    : nowNs - (process.hrtime.bigint() - BigInt(Math.round(monotonicNs)));
}
