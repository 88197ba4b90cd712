import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Reply, ReplyDecoder } from '@mayfly/contracts';

/** The waiting side of a gateway: a unix socket that collects replies. */
export class ReplyServer {
  readonly socketPath: string;
  readonly replies: Reply[] = [];
  /** Reads that the frames came in. */
  chunks = 0;
  connections = 0;
  readonly #directory: string;
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  private constructor(directory: string) {
    this.#directory = directory;
    this.socketPath = join(directory, 's');
  }

  static async start(): Promise<ReplyServer> {
    const server = new ReplyServer(await mkdtemp(join(tmpdir(), 'mf-reply-')));
    await server.listen();
    return server;
  }

  async listen(): Promise<void> {
    await rm(this.socketPath, { force: true });
    this.#server.listen(this.socketPath);
    await once(this.#server, 'listening');
  }

  /** The replies, once there are as many. */
  async received(count: number): Promise<readonly Reply[]> {
    if (this.replies.length < count)
      await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.replies;
  }

  /** Ends every connection and takes no new one. */
  async hangUp(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async stop(): Promise<void> {
    await this.hangUp();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    const decoder = new ReplyDecoder();
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk) => {
      this.chunks += 1;
      this.replies.push(...decoder.push(chunk));
      const ready = this.#waiting.filter(({ count }) => this.replies.length >= count);
      this.#waiting = this.#waiting.filter((entry) => !ready.includes(entry));
      for (const { resolve } of ready) resolve();
    });
  }
}
