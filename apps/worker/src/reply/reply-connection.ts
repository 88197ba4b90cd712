import { createConnection, type Socket } from 'node:net';
import { corkForCompany, corkForTurn, isCorked, writeNow } from './write-turn.js';

/** What may wait for a gateway that does not read: beyond this, replies take the other way. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** How long a gateway whose socket failed is spared further tries. */
const RETRY_AFTER_MS = 500;

/**
 * `at-once`: a frame whose caller has nobody to wait for. What else is sent in the same turn leaves in one write after
 * it. `gathered`: others are about to follow; it waits for `leave`, or a millisecond.
 */
export type ReplyPace = 'at-once' | 'gathered';

/**
 * One persistent connection to a gateway's reply socket. It connects when it is first needed and again after a failure.
 */
export class ReplyConnection {
  readonly #socketPath: string;
  #socket: Socket | undefined;
  #retryAtMs = 0;
  #unwritten = 0;
  #onIdle: (() => void)[] = [];

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Whether no frame waits to be written. */
  get isIdle(): boolean {
    return this.#unwritten === 0;
  }

  /** Sends a frame. `onFailure` is called, at most once and never from within `send`, when it did not leave. */
  send(frame: Buffer, pace: ReplyPace, onFailure: () => void): void {
    const socket = this.#open();
    if (socket === undefined || socket.writableLength > MAX_WAITING_BYTES) {
      process.nextTick(onFailure);
      return;
    }
    if (pace === 'gathered') corkForCompany(socket);
    else if (isCorked(socket)) corkForTurn(socket);
    this.#unwritten += 1;
    socket.write(frame, (error) => {
      this.#unwritten -= 1;
      if (error) onFailure();
      if (this.#unwritten === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    });
    if (pace === 'at-once') corkForTurn(socket);
  }

  /** Sends what was gathered. */
  leave(): void {
    if (this.#socket) writeNow(this.#socket);
  }

  /** Resolves once every frame has left or failed. */
  flushed(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Drops what has not left; those frames fail. */
  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket | undefined {
    if (this.#socket) return this.#socket;
    if (performance.now() < this.#retryAtMs) return undefined;
    const socket = createConnection({ path: this.#socketPath });
    const forget = () => {
      if (this.#socket === socket) this.#socket = undefined;
    };
    socket.on('error', () => {
      this.#retryAtMs = performance.now() + RETRY_AFTER_MS;
      forget();
    });
    socket.on('close', forget);
    // The gateway sends nothing; an end from its side closes this one, too.
    socket.resume();
    // An idle connection alone does not keep the worker alive.
    socket.unref();
    this.#socket = socket;
    return socket;
  }
}
