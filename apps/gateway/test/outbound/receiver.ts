import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Received {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server that somebody is called back on. */
export class Receiver {
  readonly requests: Received[] = [];
  connections = 0;
  /** How it answers. */
  answer: (response: ServerResponse, request: Received) => void = (response) => response.end();
  readonly #server: Server;
  readonly #waiting = new Set<() => void>();

  private constructor(tls: { readonly key: string; readonly cert: string } | undefined) {
    this.#server = tls === undefined ? createServer() : createTlsServer(tls);
    this.#server.on('connection', () => {
      this.connections += 1;
    });
    this.#server.on('request', async (request, response) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer);
      } catch {
        return;
      }
      const { method, url, headers } = request;
      const received = { method, url, headers, body: Buffer.concat(chunks).toString('utf8') };
      this.requests.push(received);
      response.on('error', () => undefined);
      this.answer(response, received);
      for (const wake of this.#waiting) wake();
    });
  }

  /** Listens on a free port of an address of this machine, until the test ends. */
  static async start(
    tls?: { readonly key: string; readonly cert: string },
    host = '127.0.0.1',
  ): Promise<Receiver> {
    const receiver = new Receiver(tls);
    receiver.#server.listen(0, host);
    await once(receiver.#server, 'listening');
    onTestFinished(() => receiver.close());
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The requests, once there are so many. */
  async received(count: number): Promise<readonly Received[]> {
    while (this.requests.length < count)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    return this.requests;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
