import { isIP } from 'node:net';
import { gatewayError } from '../errors.js';
import type { AllowList } from './allow-list.js';

const MAX_URL_LENGTH = 2_048;
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

/** What a request goes to, checked as far as that is possible without asking a resolver. */
export interface Destination {
  readonly origin: string;
  readonly path: string;
  /** Without the brackets of IPv6. */
  readonly host: string;
  readonly port: number;
}

export interface DestinationRules {
  /** Host names that may be asked: a name, or `*.` and the domain above any. */
  readonly hosts: readonly string[];
  readonly allow: AllowList;
}

/** @throws MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED, with the word of the rule in `details.reason` */
export function checkDestination(text: string, { hosts, allow }: DestinationRules): Destination {
  if (text.length > MAX_URL_LENGTH) throw refused('url', `longer than ${MAX_URL_LENGTH} characters`);
  if (!URL.canParse(text)) throw refused('url', 'not an absolute URL');
  const url = new URL(text);
  const usual = DEFAULT_PORTS[url.protocol];
  if (usual === undefined) throw refused('url', 'neither https: nor http:');
  if (url.username !== '' || url.password !== '') throw refused('url', 'it holds a user or a password');
  if (url.hash !== '') throw refused('url', 'it has a fragment, which is never sent');
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? usual : Number(url.port);
  if (!hosts.some((pattern) => isOf(host, pattern.toLowerCase())))
    throw refused('host', `${host.slice(0, 253)} is not among the hosts that the tenant may call back`);
  if (!allow.mayUsePort(port)) throw refused('port', `port ${port} is not one that requests may go to`);
  if (isIP(host) !== 0 && !allow.allows(host, port)) throw refused('address', notPublic(host, port));
  return { origin: url.origin, path: `${url.pathname}${url.search}`, host, port };
}

export function refused(reason: string, message: string) {
  return gatewayError('MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED', message, { details: { reason } });
}

export function notPublic(address: string, port: number): string {
  return `${address} on port ${port} is not of the public internet, and the operator does not allow it`;
}

function isOf(host: string, pattern: string): boolean {
  if (!pattern.startsWith('*.')) return host === pattern;
  return host.length > pattern.length - 1 && host.endsWith(pattern.slice(1)) && isIP(host) === 0;
}
