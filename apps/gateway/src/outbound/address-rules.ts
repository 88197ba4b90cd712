import { BlockList, isIP, isIPv4 } from 'node:net';

/**
 * IPv4 that no request of a tenant's may reach: what IANA's registry of special-purpose addresses does not call
 * globally reachable, and one that a cloud serves its host agent on.
 */
const NOT_PUBLIC_4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Azure's host agent, which every VM there can reach.
  ['168.63.129.16', 32],
] as const;

/** All the IPv6 that is given out; loopback, mapped, translated, local and multicast addresses lie outside of it. */
const GIVEN_OUT_6 = [['2000::', 3]] as const;

/** Within it: protocol assignments with Teredo, documentation, and 6to4, which has any IPv4 address inside. */
const NOT_PUBLIC_6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const notPublic4 = listOf(NOT_PUBLIC_4, 'ipv4');
const givenOut6 = listOf(GIVEN_OUT_6, 'ipv6');
const notPublic6 = listOf(NOT_PUBLIC_6, 'ipv6');

/** Whether an address is one of the public internet. What is no address is not. */
export function isPublicAddress(address: string): boolean {
  // A zone is of a link's own addresses only.
  if (isIP(address) === 0 || address.includes('%')) return false;
  if (isIPv4(address)) return !notPublic4.check(address, 'ipv4');
  return givenOut6.check(address, 'ipv6') && !notPublic6.check(address, 'ipv6');
}

function listOf(subnets: readonly (readonly [string, number])[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const [network, bits] of subnets) list.addSubnet(network, bits, family);
  return list;
}
