import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { root } from './root.js';

export interface RedisServer {
  /** `redis+unix://<socketPath>`, as `MAYFLY_REDIS_URL` takes it: a user that may do everything. */
  readonly url: string;
  /** The same Redis as gateways and workers see it: users with the rights of `infra/redis/users.acl`. */
  readonly urls: { readonly gateway: string; readonly worker: string };
  readonly socketPath: string;
  /** Loopback TCP port; 0 unless asked for. */
  readonly port: number;
  /** Of the present process. */
  readonly pid: number;
  /** Sends the signal and waits for the end; the data stays. */
  end(signal: NodeJS.Signals): Promise<void>;
  /** Starts the server again, over the same data. */
  restart(): Promise<void>;
  /** Ends the server and deletes its data. Idempotent. */
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** Also listens on a free loopback port. @defaultValue false */
  readonly tcp?: boolean;
  /** Append-only file. @defaultValue false */
  readonly aof?: boolean;
  /** When the append-only file is on disk. @defaultValue 'everysec' */
  readonly fsync?: 'always' | 'everysec';
  /** A socket path to reuse, for a server that comes back. @defaultValue a fresh one */
  readonly socketPath?: string;
  /** Where its data is, which outlives it. @defaultValue a fresh folder, deleted with it */
  readonly dataDir?: string;
  /** A command that runs it. */
  readonly under?: readonly string[];
}

const START_TIMEOUT_MS = 20_000;

/** Starts a private Redis on its own unix socket, with `noeviction`. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'mf-redis-'));
  const socketPath = options.socketPath ?? join(directory, 's');
  const port = options.tcp === true ? await freePort() : 0;
  const users = join(directory, 'users.acl');
  await writeFile(users, await usersForTests());
  const words = [
    ...(options.under ?? []),
    ...['redis-server', '--port', String(port), '--bind', '127.0.0.1'],
    ...['--unixsocket', socketPath, '--unixsocketperm', '700'],
    ...['--dir', options.dataDir ?? directory, '--save', ''],
    ...['--appendonly', options.aof === true ? 'yes' : 'no', '--appendfsync', options.fsync ?? 'everysec'],
    ...['--maxmemory-policy', 'noeviction', '--daemonize', 'no', '--aclfile', users],
  ];
  let child = await startServer(words, socketPath).catch(async (error) => {
    await rm(directory, { recursive: true, force: true });
    throw error;
  });
  return {
    url: `redis+unix://${socketPath}`,
    urls: { gateway: urlOf('gateway', socketPath), worker: urlOf('worker', socketPath) },
    socketPath,
    port,
    get pid() {
      return child.pid as number;
    },
    end: (signal) => end(child, signal),
    async restart() {
      child = await startServer(words, socketPath);
    },
    stop: onlyOnce(async () => {
      await end(child, 'SIGKILL');
      await rm(directory, { recursive: true, force: true });
    }),
  };
}

const urlOf = (user: string, socketPath: string) => `redis+unix://${user}:${user}@localhost${socketPath}`;

/** The users that we ship, each with its name for a password; tests themselves come without, and may do everything. */
async function usersForTests(): Promise<string> {
  const users = await readFile(join(root, 'infra/redis/users.acl'), 'utf8');
  return users
    .replace(/^user default .*$/m, 'user default on nopass ~* &* +@all')
    .replace(/>([A-Z]+)_PASSWORD/g, (_, name: string) => `>${name.toLowerCase()}`);
}

/** Resolves with the server's process once it answers. */
async function startServer(words: readonly string[], socketPath: string): Promise<ChildProcess> {
  const [command = '', ...rest] = words;
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    await ready(child, socketPath);
    return child;
  } catch (error) {
    await end(child, 'SIGKILL');
    throw error;
  }
}

async function ready(child: ChildProcess, socketPath: string): Promise<void> {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr?.resume();
  const ended = once(child, 'exit').then(
    ([code]) => Promise.reject(new Error(`redis-server ended with ${code}: ${output}`)),
    (error) => Promise.reject(new Error(`redis-server cannot start: ${String(error)}`)),
  );
  ended.catch(() => undefined);
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  // The log line comes before the socket accepts on some builds, so the socket itself is asked.
  while (Date.now() < deadlineMs) {
    if (await Promise.race([answersPing(socketPath), ended])) return;
    await Promise.race([delay(20), ended]);
  }
  throw new Error(`redis-server is not ready after ${START_TIMEOUT_MS} ms: ${output}`);
}

async function answersPing(socketPath: string): Promise<boolean> {
  const socket = createConnection(socketPath);
  try {
    socket.write('PING\r\n');
    const [data] = (await once(socket, 'data')) as [Buffer];
    return data.toString().startsWith('+PONG');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  // A server that a test stopped with SIGSTOP has to go on to end.
  child.kill('SIGCONT');
  child.kill(signal);
  await exited;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function onlyOnce(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= action();
    return running;
  };
}
