import type { Writable } from 'node:stream';

const corked = new WeakSet<Writable>();

/** What is written to the stream from now to the end of this turn of the event loop leaves in one system call. */
export function corkForTurn(stream: Writable): void {
  if (corked.has(stream)) return;
  corked.add(stream);
  stream.cork();
  setImmediate(() => {
    corked.delete(stream);
    stream.uncork();
  });
}
