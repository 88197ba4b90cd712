import { keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRedisUrl } from '../../libs/contracts/src/redis-url.js';
import { type RedisServer, startRedis } from '../helpers/redis.js';

/** What a gateway and a worker may not do, whatever becomes of them, is refused by Redis itself. */
describe('the users of Redis', () => {
  let server: RedisServer;
  const users = new Map<string, Redis>();
  beforeAll(async () => {
    server = await startRedis();
    for (const [user, url] of Object.entries({ tests: server.url, ...server.urls }))
      users.set(user, new Redis({ ...parseRedisUrl(url), maxRetriesPerRequest: 0 } as never));
  });
  afterAll(async () => {
    for (const redis of users.values()) redis.disconnect();
    await server.stop();
  });

  const send = (user: string, text: string) => {
    const [command = '', ...words] = text.split(' ');
    return users.get(user)?.call(command, ...words);
  };
  const lua = (user: string, body: string, ...names: string[]) =>
    users.get(user)?.eval(body, names.length, ...names);

  it.each(
    ['gateway', 'worker'].flatMap((user) =>
      [
        ...[
          'KEYS *',
          'SCAN 0',
          'FLUSHALL',
          'FLUSHDB',
          'CONFIG GET *',
          'CONFIG SET appendonly no',
          'SHUTDOWN',
        ],
        ...['SCRIPT FLUSH', 'ACL LIST', 'MONITOR', 'CLIENT LIST', 'CLIENT KILL ID 1', 'SAVE'],
        ...['REPLICAOF NO ONE', 'SWAPDB 0 1', 'FUNCTION LIST', 'SET other 1', 'GET other'],
        ...['PUBLISH other x', 'SUBSCRIBE other'],
      ].map((command) => [user, command] as const),
    ),
  )('keep the %s from %s', async (user, command) => {
    await expect(send(user, command)).rejects.toThrow('NOPERM');
  });

  it.each([
    ['gateway', `HSET ${keys.worker('w')} a 1`],
    ['gateway', `ZREM ${keys.workers} w`],
    ['gateway', 'PUBLISH mf:w:rsp:g x'],
    ['worker', `HSET ${keys.function('t', 'f')} v1 {}`],
    ['worker', `SET ${keys.accepted('t', 'inv')} {}`],
    ['worker', `HSET ${keys.secret('t', 's')} v1 x`],
    ['worker', `HGETALL ${keys.apiKeys}`],
    ['worker', `HSET ${keys.apiKeys} k x`],
    ['worker', `HGETALL ${keys.tenants}`],
    ['worker', `XRANGE ${keys.audit} - +`],
    ['worker', `XADD ${keys.audit} * e x`],
    ['worker', 'PUBLISH mf:g:versions x'],
    ['worker', 'PUBLISH mf:t:announce x'],
    ['worker', 'SUBSCRIBE mf:t:announce'],
  ])('keep the %s from the family of another: %s', async (user, command) => {
    await expect(send(user, command)).rejects.toThrow('NOPERM');
  });

  it.each([
    `XDEL ${keys.audit} 1-1`,
    `XTRIM ${keys.audit} MAXLEN 0`,
    `XSETID ${keys.audit} 9-9`,
    `DEL ${keys.audit}`,
    `UNLINK ${keys.audit}`,
    `EXPIRE ${keys.audit} 1`,
    `RENAME ${keys.audit} mf:t:other`,
    `RENAME mf:t:other ${keys.audit}`,
    `COPY mf:t:other ${keys.audit} REPLACE`,
    `SET ${keys.audit} x`,
  ])('let the gateway add to the audit log, and not: %s', async (command) => {
    await send('gateway', `XADD ${keys.audit} * e {} h 0`);
    await expect(send('gateway', command)).rejects.toThrow('NOPERM');
    const [name = '', key = '', ...rest] = command.split(' ');
    const words = ['KEYS[1]', ...rest.map((word) => `'${word}'`)].join(', ');
    await expect(lua('gateway', `return redis.call('${name}', ${words})`, key)).rejects.toThrow(
      /NOPERM|can't access|can't run/,
    );
    expect(await send('tests', `XLEN ${keys.audit}`)).toBeGreaterThan(0);
  });

  it('let a worker read what a gateway writes for it, and no more of it', async () => {
    await send('gateway', `HSET ${keys.function('t', 'f')} v1 {}`);
    await send('gateway', `HSET ${keys.secret('t', 's')} v1 sealed`);
    expect(await send('worker', `HGET ${keys.function('t', 'f')} v1`)).toBe('{}');
    expect(await send('worker', `HGET ${keys.secret('t', 's')} v1`)).toBe('sealed');
    await send('worker', `HSET ${keys.worker('w')} a 1`);
    expect(await send('gateway', `HGET ${keys.worker('w')} a`)).toBe('1');
  });
});
