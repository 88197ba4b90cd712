import { BlockList, isIP, isIPv4 } from 'node:net';
import { isPublicAddress } from './address-rules.js';

const USUAL_PORTS = [80, 443];

interface Rule {
  readonly list: BlockList;
  readonly family: 'ipv4' | 'ipv6';
  /** Absent: the usual ones. */
  readonly port: number | undefined;
}

/** Where requests may go: the public internet on its usual ports, and what the operator adds. */
export class AllowList {
  readonly #rules: readonly Rule[];

  private constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /**
   * Reads `address[/bits][:port]`, separated by commas; IPv6 stands in brackets. Without bits it is one address, without
   * a port the usual ones. @returns undefined for text that is none
   */
  static parse(text: string): AllowList | undefined {
    const rules: Rule[] = [];
    for (const entry of text.split(',')) {
      const rule = parseRule(entry.trim());
      if (rule === undefined) return undefined;
      rules.push(rule);
    }
    return new AllowList(rules);
  }

  static readonly none = new AllowList([]);

  /** Whether any address may be asked on this port; the address decides later. */
  mayUsePort(port: number): boolean {
    return USUAL_PORTS.includes(port) || this.#rules.some((rule) => rule.port === port);
  }

  allows(address: string, port: number): boolean {
    if (isPublicAddress(address) && USUAL_PORTS.includes(port)) return true;
    if (isIP(address) === 0 || address.includes('%')) return false;
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    return this.#rules.some(
      (rule) =>
        rule.family === family &&
        (rule.port === undefined ? USUAL_PORTS.includes(port) : rule.port === port) &&
        rule.list.check(address, family),
    );
  }
}

function parseRule(entry: string): Rule | undefined {
  const [, six, four, bitsText, portText] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?:\/(\d{1,3}))?(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const address = six ?? four ?? '';
  const family = six === undefined ? 'ipv4' : 'ipv6';
  const longest = six === undefined ? 32 : 128;
  if (isIP(address) !== (six === undefined ? 4 : 6)) return undefined;
  const bits = bitsText === undefined ? longest : Number(bitsText);
  const port = portText === undefined ? undefined : Number(portText);
  if (bits > longest || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  const list = new BlockList();
  list.addSubnet(address, bits, family);
  return { list, family, port };
}
