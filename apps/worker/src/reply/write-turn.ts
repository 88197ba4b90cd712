import type { Writable } from 'node:stream';

/** How long what is written may wait for more: the event loop's shortest timer. */
const COMPANY_MS = 1;

interface Hold {
  /** Ends a wait for company; undefined once the stream leaves with the turn. */
  timer: NodeJS.Timeout | undefined;
}

/** Streams that gather what is written to them. */
const held = new WeakMap<Writable, Hold>();

/** What is written to the stream, from now to the end of this turn of the event loop, leaves in one system call. */
export function corkForTurn(stream: Writable): void {
  const hold = held.get(stream);
  if (hold !== undefined && hold.timer === undefined) return;
  if (hold === undefined) start(stream, undefined);
  else {
    clearTimeout(hold.timer);
    hold.timer = undefined;
  }
  setImmediate(release, stream);
}

/**
 * What is written to the stream waits for `corkForTurn` or `writeNow` on it, at most a millisecond: a write wakes the
 * other process, which costs more than what is in it, so what nobody waits for goes along with what somebody does.
 */
export function corkForCompany(stream: Writable): void {
  if (!held.has(stream)) start(stream, setTimeout(release, COMPANY_MS, stream));
}

/** Lets what the stream has gathered leave at once, unless it leaves with this turn anyway. */
export function writeNow(stream: Writable): void {
  const hold = held.get(stream);
  if (hold?.timer === undefined) return;
  clearTimeout(hold.timer);
  release(stream);
}

/** Whether the stream gathers what is written to it. */
export function isCorked(stream: Writable): boolean {
  return held.has(stream);
}

function start(stream: Writable, timer: NodeJS.Timeout | undefined): void {
  held.set(stream, { timer });
  stream.cork();
}

function release(stream: Writable): void {
  held.delete(stream);
  stream.uncork();
}
