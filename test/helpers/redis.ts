import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface RedisServer {
  /** `redis+unix://<socketPath>`, as `MAYFLY_REDIS_URL` takes it. */
  readonly url: string;
  readonly socketPath: string;
  /** Loopback TCP port; 0 unless asked for. */
  readonly port: number;
  readonly pid: number;
  /** Ends the server and deletes its data. Idempotent. */
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** Also listens on a free loopback port. @defaultValue false */
  readonly tcp?: boolean;
  /** Append-only file, fsync every second. @defaultValue false */
  readonly aof?: boolean;
  /** A socket path to reuse, for a server that comes back. @defaultValue a fresh one */
  readonly socketPath?: string;
}

const START_TIMEOUT_MS = 10_000;

/** Starts a private Redis on its own unix socket, empty, with `noeviction`. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'mf-redis-'));
  const socketPath = options.socketPath ?? join(directory, 's');
  const port = options.tcp === true ? await freePort() : 0;
  const child = spawn(
    'redis-server',
    [
      ...[
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--unixsocket',
        socketPath,
        '--unixsocketperm',
        '700',
      ],
      ...['--dir', directory, '--save', '', '--appendonly', options.aof === true ? 'yes' : 'no'],
      ...['--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction', '--daemonize', 'no'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const stop = onlyOnce(async () => {
    await end(child);
    await rm(directory, { recursive: true, force: true });
  });
  try {
    await ready(child, socketPath);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis+unix://${socketPath}`, socketPath, port, pid: child.pid as number, stop };
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

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  // A server that a test stopped with SIGSTOP has to go on to end.
  child.kill('SIGCONT');
  child.kill('SIGKILL');
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
