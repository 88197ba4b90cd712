import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Process } from '../names/metrics.js';
import type { Metrics } from './metrics.js';
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from './prometheus-text.js';

const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 64;

export interface MetricsServerOptions {
  readonly metrics: Pick<Metrics<Process>, 'collect'>;
  readonly resource: Readonly<Record<string, string>>;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/**
 * `GET /metrics` for Prometheus, on a listener of its own: the numbers tell of all tenants, so no tenant's address
 * serves them.
 */
export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #server: Server;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      const [path] = (request.url ?? '').split('?');
      if (path !== '/metrics' || request.method !== 'GET') {
        response.writeHead(path === '/metrics' ? 405 : 404, { 'content-type': 'text/plain' }).end();
        return;
      }
      this.#text().then(
        (text) => response.writeHead(200, { 'content-type': PROMETHEUS_CONTENT_TYPE }).end(text),
        () => response.writeHead(500, { 'content-type': 'text/plain' }).end(),
      );
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  async #text(): Promise<string> {
    return prometheusText(await this.#options.metrics.collect(), this.#options.resource);
  }

  /** Resolves with the address; rejects when it cannot be had. It does not keep the process alive. */
  async listen(): Promise<string> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.unref();
    const address = this.#server.address() as AddressInfo;
    const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return `http://${shown}:${address.port}/metrics`;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}
