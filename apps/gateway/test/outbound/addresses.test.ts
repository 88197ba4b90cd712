import { describe, expect, test } from 'vitest';
import { isPublicAddress } from '../../src/outbound/address-rules.js';
import { AllowList } from '../../src/outbound/allow-list.js';
import { checkDestination } from '../../src/outbound/destination.js';

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '93.184.215.14',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.1',
  '223.255.255.255',
  '100.63.255.255',
  '100.128.0.0',
  '2606:4700:4700::1111',
  '2a00:1450:4001:81b::200e',
  '2001:200::1',
  '2400:cb00::1',
];

const NOT_PUBLIC: readonly [name: string, ...addresses: string[]][] = [
  ['unspecified', '0.0.0.0', '0.1.2.3', '::'],
  ['loopback', '127.0.0.1', '127.255.255.254', '::1'],
  ['private', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
  ['link-local', '169.254.169.254', 'fe80::1', 'fe80::1%lo', 'febf::1'],
  ['carrier-grade NAT', '100.64.0.1', '100.100.100.200', '100.127.255.255'],
  ['multicast and broadcast', '224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1'],
  [
    'reserved',
    '240.0.0.1',
    '192.0.0.192',
    '192.0.2.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '192.88.99.1',
  ],
  ['a cloud’s host agent', '168.63.129.16', 'fd00:ec2::254'],
  ['unique local, site-local', 'fc00::1', 'fdff::1', 'fec0::1'],
  [
    'IPv4 mapped',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:ffff:0a00:1',
  ],
  ['IPv4 compatible', '::127.0.0.1', '::a00:1'],
  ['NAT64', '64:ff9b::127.0.0.1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::1'],
  ['6to4', '2002:7f00:1::', '2002:a9fe:a9fe::1'],
  ['Teredo', '2001:0:4136:e378:8000:63bf:80ff:fffe', '2001::1'],
  [
    'protocol, documentation, discard',
    '2001:2::1',
    '2001:10::1',
    '2001:db8::1',
    '3fff::1',
    '100::1',
    '5f00::1',
  ],
  ['not given out', '4000::1', '8000::1'],
  ['no address', '', 'localhost', '1.2.3', '1.2.3.4.5', '0x7f.0.0.1', '1.2.3.4/8', '[::1]', ' 8.8.8.8'],
];

describe('addresses', () => {
  test.each(PUBLIC)('%s is of the public internet', (address) => {
    expect(isPublicAddress(address)).toBe(true);
    expect(AllowList.none.allows(address, 443)).toBe(true);
    expect(AllowList.none.allows(address, 22)).toBe(false);
  });

  test.each(NOT_PUBLIC)('%s: not', (_, ...addresses) => {
    for (const address of addresses) {
      expect(isPublicAddress(address), address).toBe(false);
      expect(AllowList.none.allows(address, 443), address).toBe(false);
    }
  });

  test('no IPv4 address gets through in the clothes of an IPv6 one', () => {
    for (const octet of [0, 10, 127, 169, 172, 192, 8, 93])
      for (const form of ['::ffff:', '::', '64:ff9b::', '::ffff:0:'])
        expect(isPublicAddress(`${form}${octet}.16.0.1`), `${form}${octet}.16.0.1`).toBe(false);
  });
});

describe('what the operator allows', () => {
  const list = AllowList.parse('127.0.0.1:9000, 10.1.0.0/16:8443,[fd00::]/8:443,192.168.7.7');

  test.each([
    ['127.0.0.1', 9000, true],
    ['127.0.0.1', 443, false],
    ['127.0.0.2', 9000, false],
    ['10.1.255.255', 8443, true],
    ['10.2.0.0', 8443, false],
    ['fd12::1', 443, true],
    ['fc00::1', 443, false],
    ['192.168.7.7', 443, true],
    ['192.168.7.7', 80, true],
    ['192.168.7.7', 8080, false],
    ['::ffff:127.0.0.1', 9000, false],
    ['1.1.1.1', 443, true],
    ['1.1.1.1', 8443, false],
  ])('%s port %i: %s', (address, port, allowed) => {
    expect(list?.allows(address, port)).toBe(allowed);
  });

  test.each([
    '',
    ',',
    'localhost:80',
    '1.2.3.4/33',
    '1.2.3.4:0',
    '1.2.3.4:65536',
    '::1',
    '[::1',
    '[1.2.3.4]:80',
    '1.2.3:80',
    '[::]/129',
  ])('%j is no such list', (text) => expect(AllowList.parse(text)).toBeUndefined());
});

describe('destinations', () => {
  const rules = {
    hosts: [
      'hooks.example.com',
      '*.customer.example',
      '127.0.0.1',
      '10.0.0.5',
      '2130706433',
      '::1',
      'xn--mnchen-3ya.example',
    ],
    allow: AllowList.parse('127.0.0.1:9000') ?? AllowList.none,
  };

  test.each([
    ['https://hooks.example.com/a?b=c', 'hooks.example.com', 443, '/a?b=c'],
    ['http://HOOKS.example.com', 'hooks.example.com', 80, '/'],
    ['https://a.b.customer.example/x', 'a.b.customer.example', 443, '/x'],
    ['http://127.0.0.1:9000/hook', '127.0.0.1', 9000, '/hook'],
    ['https://münchen.example/', 'xn--mnchen-3ya.example', 443, '/'],
  ])('%s is one', (url, host, port, path) => {
    expect(checkDestination(url, rules)).toMatchObject({ host, port, path });
  });

  test.each([
    ['url', 'hooks.example.com'],
    ['url', '/relative'],
    ['url', 'ftp://hooks.example.com/'],
    ['url', 'file:///etc/passwd'],
    ['url', 'https://user:pass@hooks.example.com/'],
    ['url', 'https://user@hooks.example.com/'],
    ['url', 'https://hooks.example.com/#fragment'],
    ['url', `https://hooks.example.com/${'x'.repeat(2_100)}`],
    ['host', 'https://evil.example/'],
    ['host', 'https://hooks.example.com.evil.example/'],
    ['host', 'https://hooks.example.com./'],
    ['host', 'https://customer.example/'],
    ['host', 'https://evilcustomer.example/'],
    ['host', 'https://[::ffff:127.0.0.1]:9000/'],
    ['port', 'https://hooks.example.com:22/'],
    ['port', 'http://127.0.0.1:9001/'],
    ['address', 'http://127.0.0.1/'],
    ['address', 'http://2130706433/'],
    ['address', 'http://0x7f.1/'],
    ['address', 'http://10.0.0.5/'],
    ['address', 'http://[::1]/'],
  ])('refused for its %s: %s', (reason, url) => {
    expect(() => checkDestination(url, rules)).toThrow(
      expect.objectContaining({
        code: 'MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED',
        details: expect.objectContaining({ reason }),
      }),
    );
  });
});
