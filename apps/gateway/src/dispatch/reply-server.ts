import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Reply, ReplyDecoder } from '@mayfly/contracts';

/** sun_path of Linux holds 108 bytes with its terminator. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Where a gateway's reply socket is. */
export interface ReplySocketPlace {
  readonly path: string;
  /** The folder is this socket's alone: made with it, and removed with it. */
  readonly hasOwnFolder: boolean;
}

/**
 * In `runDir`, or, where that is too long for a socket, in a folder of its own below the system's temporary one: a
 * name nobody can guess, so that nobody else on the host can have put something there.
 */
export function replySocketPath(runDir: string, gatewayId: string): ReplySocketPlace {
  const path = join(runDir, `g-${gatewayId}.sock`);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, hasOwnFolder: false };
  return { path: join(tmpdir(), `mayfly-${randomBytes(12).toString('hex')}`, 'g.sock'), hasOwnFolder: true };
}

/** The unix socket (mode 0600) on which workers answer this gateway's callers. */
export class ReplyServer {
  readonly #place: ReplySocketPlace;
  readonly #onReply: (reply: Reply) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #brokenStreams = 0;

  constructor(place: ReplySocketPlace, onReply: (reply: Reply) => void) {
    this.#place = place;
    this.#onReply = onReply;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  get path(): string {
    return this.#place.path;
  }

  /** Connections that were closed because they sent what is no frame. */
  get brokenStreams(): number {
    return this.#brokenStreams;
  }

  async listen(): Promise<void> {
    const { path, hasOwnFolder } = this.#place;
    await mkdir(dirname(path), { recursive: !hasOwnFolder, mode: 0o700 });
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    await chmod(path, 0o600);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const { path, hasOwnFolder } = this.#place;
    if (hasOwnFolder) await rm(dirname(path), { recursive: true, force: true });
  }

  #accept(socket: Socket): void {
    const decoder = new ReplyDecoder();
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // A worker that goes away shows as 'close'; its calls end by their own deadline.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const reply of decoder.push(chunk)) this.#onReply(reply);
      } catch {
        this.#brokenStreams += 1;
        socket.destroy();
      }
    });
  }
}
