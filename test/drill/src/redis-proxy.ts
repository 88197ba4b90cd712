import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

/** Stands between Mayfly and its Redis, and can be made a line that carries nothing and does not say so. */
export interface RedisProxy {
  readonly port: number;
  /** Until `open`, bytes of both directions vanish, on lines that were there and on new ones. */
  swallow(): void;
  /** Lines that lost bytes are cut; new ones carry again. */
  open(): void;
  close(): Promise<void>;
}

export async function startRedisProxy(targetPort: () => number): Promise<RedisProxy> {
  const lines = new Set<Socket>();
  let swallows = false;
  const server = createServer((client) => {
    const target = createConnection(targetPort(), '127.0.0.1');
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      lines.add(from);
      from.on('data', (bytes) => {
        if (!swallows) to.write(bytes);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        lines.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const line of lines) line.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    swallow: () => {
      swallows = true;
    },
    open: () => {
      cut();
      swallows = false;
    },
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
