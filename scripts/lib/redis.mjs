import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fail } from './console.mjs';
import { root, which } from './exec.mjs';
import { startProcess } from './processes.mjs';

/** Of the host's memory; gateways shed load before it is full. */
const MEMORY_SHARE = 0.25;

/** A port that is free right now. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Two servers would write the same append-only file, and the first to end would take the other's socket away. */
async function checkUnused(socket, dataFolder) {
  const isUsed = await new Promise((resolve) => {
    const connection = createConnection(socket);
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
    connection.once('connect', () => connection.destroy());
  });
  if (isUsed) fail(`${dataFolder} is in use by another Mayfly: stop it, or name another by MAYFLY_DATA_DIR.`);
}

/**
 * Mayfly's own Redis: its socket, its loopback port, its data directory; its users are the gateway, the worker and the
 * operator, with the rights of `infra/redis/users.acl` and a new password each for each start.
 * Nobody comes in as `default`, which is off; its rights are those that Redis itself reads the append-only file with:
 * without them it drops every transaction there, and says so in its log alone.
 * Settings are those that a queue needs (append-only file, no eviction); nothing of the system's Redis is touched.
 */
export async function startRedis({ dataFolder, runFolder, logFolder }) {
  const program = which('redis-server') ?? which('valkey-server') ?? fail('No redis-server on PATH.');
  const folder = path.join(dataFolder, 'redis');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const socket = path.join(runFolder, 'redis.sock');
  await checkUnused(socket, dataFolder);
  const port = await freePort();
  const { users, urls } = ownUsers(socket);
  const aclfile = path.join(runFolder, 'users.acl');
  writeFileSync(aclfile, users, { mode: 0o600 });
  const settings = {
    include: path.join(root, 'infra/redis/redis.conf'),
    bind: '127.0.0.1',
    port,
    unixsocket: socket,
    unixsocketperm: '700',
    aclfile,
    maxmemory: Math.floor(os.totalmem() * MEMORY_SHARE),
    dir: folder,
    daemonize: 'no',
  };
  const file = path.join(runFolder, 'redis.conf');
  const text = Object.entries(settings).map(([key, value]) => `${key} "${value}"\n`);
  writeFileSync(file, text.join(''), { mode: 0o600 });
  const child = startProcess('redis', program, [file], { logFolder, cwd: folder });
  return { ...child, urls, socket, port };
}

/** The users file with passwords, and the URL that each user comes by. */
function ownUsers(socket) {
  const urls = {};
  const users = readFileSync(path.join(root, 'infra/redis/users.acl'), 'utf8').replace(
    />([A-Z]+)_PASSWORD/g,
    (_, name) => {
      const user = name.toLowerCase();
      const password = randomBytes(24).toString('hex');
      urls[user] = `redis+unix://${user}:${password}@localhost${socket}`;
      return `>${password}`;
    },
  );
  return { users, urls };
}
