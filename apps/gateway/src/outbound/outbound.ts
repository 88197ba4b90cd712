import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isMayflyError } from '@mayfly/contracts';
import { buildConnector, Client, type Dispatcher } from 'undici';
import { gatewayError } from '../errors.js';
import type { AllowList } from './allow-list.js';
import {
  checkDestination,
  type Destination,
  type DestinationRules,
  notPublic,
  refused,
} from './destination.js';

/** Addresses of a name; rejects, or answers none, when there are none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface OutboundOptions {
  readonly allow: AllowList;
  /** @defaultValue the servers of the system, asked without its thread pool */
  readonly resolve?: Resolve;
  /** Certificates to trust in place of Node's. */
  readonly ca?: string | undefined;
  /** Resolve, connect, send, and answer: all together. @defaultValue 10_000 */
  readonly timeoutMs?: number;
}

export interface OutboundRequest {
  readonly url: string;
  /** As in `DestinationRules`. */
  readonly hosts: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface OutboundAnswer {
  readonly status: number;
  /** Lower-case names; of a repeated one, the first. */
  readonly header: (name: string) => string | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Of a name that has more; each is checked, however many there are. */
const ADDRESSES_TRIED = 3;

/**
 * DESIGN. The only module that makes requests for a tenant. Each one asks the resolver once, checks every address that
 * comes, and connects to one of those, so that a name cannot mean something else a moment later; TLS still has to show
 * the name. A connection serves one request. No redirect is followed. Of an answer, the status and the head count: the
 * body is not read, so that its size and pace are nobody's matter. The system's `getaddrinfo` is not used, since it
 * would hold one of four threads that the gateway reads its files with for as long as a hostile name server likes.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #resolve: Resolve;
  readonly #connect: buildConnector.connector;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#resolve = options.resolve ?? resolverOfSystem();
    this.#connect = buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      maxCachedSessions: 0,
      allowH2: false,
      ...(options.ca !== undefined && { ca: options.ca }),
    });
  }

  get allow(): AllowList {
    return this.#options.allow;
  }

  /** What can be said of a URL at once. @throws MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED */
  check(url: string, rules: Pick<DestinationRules, 'hosts'>): Destination {
    return checkDestination(url, { hosts: rules.hosts, allow: this.#options.allow });
  }

  /** @throws MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED, MAYFLY_ERR_GATEWAY_OUTBOUND_FAILED with a word in `details.reason` */
  async post(request: OutboundRequest): Promise<OutboundAnswer> {
    const destination = this.check(request.url, request);
    const deadline = AbortSignal.timeout(this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const addresses = await this.#addressesOf(destination, deadline);
    const client = new Client(destination.origin, {
      connect: this.#connectTo(addresses, destination.host),
      maxHeaderSize: MAX_HEADER_BYTES,
      pipelining: 1,
    });
    try {
      const answer = await client.request({
        method: 'POST',
        path: destination.path,
        headers: { ...request.headers },
        body: request.body,
        signal: deadline,
      });
      const { statusCode: status, headers } = answer;
      // Its end is nobody's matter; without a listener the break would be an unhandled error.
      answer.body.on('error', () => undefined);
      answer.body.destroy();
      return { status, header: (name) => first(headers[name]) };
    } catch (error) {
      throw failed(error, deadline);
    } finally {
      client.destroy().catch(() => undefined);
    }
  }

  async #addressesOf({ host, port }: Destination, deadline: AbortSignal): Promise<readonly string[]> {
    const addresses = isIP(host) === 0 ? await this.#ask(host, deadline) : [host];
    const bad = addresses.find((address) => !this.#options.allow.allows(address, port));
    if (bad !== undefined) throw refused('address', notPublic(bad, port));
    return addresses.slice(0, ADDRESSES_TRIED);
  }

  async #ask(host: string, deadline: AbortSignal): Promise<readonly string[]> {
    const late = new Promise<never>((_, reject) => {
      deadline.addEventListener('abort', () => reject(deadline.reason), { once: true });
    });
    late.catch(() => undefined);
    const found = await Promise.race([this.#resolve(host), late]).catch((cause: unknown) => {
      throw failure('dns', 'the name does not resolve', cause);
    });
    if (found.length === 0) throw failure('dns', 'the name has no address');
    return found;
  }

  /** Connects to the first address that takes it; the name is what TLS has to show. */
  #connectTo(addresses: readonly string[], host: string): buildConnector.connector {
    const connect = this.#connect;
    return (options, done) => {
      const next = ([address = '', ...others]: readonly string[]): void => {
        const servername = isIP(host) === 0 ? host : '';
        connect({ ...options, hostname: address, servername }, (...result) => {
          if (result[0] !== null && others.length > 0) next(others);
          else done(...result);
        });
      };
      next(addresses);
    };
  }
}

function resolverOfSystem(): Resolve {
  return async (host) => {
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    if (four.status === 'rejected' && six.status === 'rejected') throw four.reason;
    return [four, six].flatMap((found) => (found.status === 'fulfilled' ? found.value : []));
  };
}

function first(value: Dispatcher.ResponseData['headers'][string]): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

interface NodeError {
  readonly code?: string;
}

/** In words that a tenant may read: which phase it was, and nothing of this network. */
function failed(error: unknown, deadline: AbortSignal) {
  if (isMayflyError(error)) return error;
  if (deadline.aborted) return failure('timeout', 'no answer in time', error);
  const { code = '' } = error as NodeError;
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return failure('timeout', 'no connection in time', error);
  if (/^(?:ERR_TLS|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|EPROTO|ERR_SSL|HOSTNAME)/.test(code))
    return failure('tls', 'TLS was not established', error);
  if (/^E(?:CONN(?:REFUSED|RESET)|HOSTUNREACH|NETUNREACH|PIPE|ADDRNOTAVAIL|TIMEDOUT)/.test(code))
    return failure('connect', 'no connection', error);
  return failure('http', 'the answer is not one of HTTP', error);
}

function failure(reason: string, message: string, cause?: unknown) {
  return gatewayError('MAYFLY_ERR_GATEWAY_OUTBOUND_FAILED', message, { cause, details: { reason } });
}
