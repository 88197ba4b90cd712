import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Reply, ReplyDecoder } from '@mayfly/contracts';

/** sun_path of Linux holds 108 bytes with its terminator. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A path for a gateway's reply socket: in `runDir`, or in the system's temporary folder where that is too long. */
export function replySocketPath(runDir: string, gatewayId: string): string {
  const path = join(runDir, `g-${gatewayId}.sock`);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  return join(tmpdir(), `mayfly-${process.getuid?.() ?? 0}`, `g-${gatewayId}.sock`);
}

/** The unix socket (mode 0600) on which workers answer this gateway's callers. */
export class ReplyServer {
  readonly #path: string;
  readonly #onReply: (reply: Reply) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #brokenStreams = 0;

  constructor(path: string, onReply: (reply: Reply) => void) {
    this.#path = path;
    this.#onReply = onReply;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  get path(): string {
    return this.#path;
  }

  /** Connections that were closed because they sent what is no frame. */
  get brokenStreams(): number {
    return this.#brokenStreams;
  }

  async listen(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    await rm(this.#path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#path, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    await chmod(this.#path, 0o600);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
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
