import { ReplyConnection, type ReplyPace } from './reply-connection.js';

/** Gateways that are connected at once; a further one takes the place of one that has nothing to write. */
const MAX_CONNECTIONS = 64;

/** A persistent connection per gateway socket. */
export class ReplyRouter {
  readonly #connections = new Map<string, ReplyConnection>();

  /** As `ReplyConnection.send`. */
  send(socketPath: string, frame: Buffer, pace: ReplyPace, onFailure: () => void): void {
    const connection = this.#connections.get(socketPath) ?? this.#add(socketPath);
    if (connection) connection.send(frame, pace, onFailure);
    else process.nextTick(onFailure);
  }

  /** Sends what was gathered for a gateway. */
  leave(socketPath: string): void {
    this.#connections.get(socketPath)?.leave();
  }

  /** Resolves once every frame has left or failed. */
  async flushed(): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.flushed()));
  }

  /** Drops what has not left; those frames fail. */
  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #add(socketPath: string): ReplyConnection | undefined {
    if (this.#connections.size >= MAX_CONNECTIONS && !this.#dropIdle()) return undefined;
    const connection = new ReplyConnection(socketPath);
    this.#connections.set(socketPath, connection);
    return connection;
  }

  #dropIdle(): boolean {
    for (const [socketPath, connection] of this.#connections) {
      if (!connection.isIdle) continue;
      connection.close();
      this.#connections.delete(socketPath);
      return true;
    }
    return false;
  }
}
