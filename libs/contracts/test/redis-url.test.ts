import { expect, test } from 'vitest';
import { parseRedisUrl } from '../src/redis-url.js';

test.each([
  ['redis://h', { host: 'h', port: 6379 }],
  ['redis://h:1/2', { host: 'h', port: 1, db: 2 }],
  ['redis://u:p%40s@h', { username: 'u', password: 'p@s', host: 'h', port: 6379 }],
  ['rediss://h', { host: 'h', port: 6379, tls: {} }],
  ['redis+unix:///run/r.sock', { path: '/run/r.sock' }],
  ['redis+unix://u:p@localhost/run/a%20b.sock', { username: 'u', password: 'p', path: '/run/a b.sock' }],
])('reads %s', (text, address) => {
  expect(parseRedisUrl(text)).toEqual(address);
});

test.each([
  '',
  'redis',
  'http://h',
  'redis://',
  'redis://h/x',
  'redis://h:70000',
  'redis+unix://',
  'redis+unix://localhost/',
  'redis://u:%zz@h',
  'redis://u:%ff@h',
  'redis+unix:///%',
])('takes %j for no Redis', (text) => {
  expect(parseRedisUrl(text)).toBeUndefined();
});
