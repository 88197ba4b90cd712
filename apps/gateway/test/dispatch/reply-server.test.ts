import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encodeReply, type InvocationRecord, MAX_FRAME_BYTES, type Reply } from '@mayfly/contracts';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ReplyServer, replySocketPath } from '../../src/dispatch/reply-server.js';

const reply = (n: number, bodyBytes: number): Reply => ({
  token: n.toString(16).padStart(32, '0'),
  record: { invocationId: `call ${n}` } as InvocationRecord,
  body: Buffer.alloc(bodyBytes, n),
});

async function listening(onReply: (reply: Reply) => void): Promise<ReplyServer> {
  const folder = await mkdtemp(join(tmpdir(), 'mf-rs-'));
  const server = new ReplyServer(replySocketPath(folder, 'test'), onReply);
  await server.listen();
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return server;
}

describe('ReplyServer', () => {
  it.each([1, 7, 23, 24, 25, 1000, 65_536])(
    'reads frames that come in pieces of %i bytes',
    async (pieceBytes) => {
      const replies = [0, 1, 300, 3, 0].map((bodyBytes, n) => reply(n, bodyBytes));
      const stream = Buffer.concat(replies.map(encodeReply));
      const seen: Reply[] = [];
      const done = new Promise<void>((resolve) => {
        void listening((one) => {
          if (seen.push(one) === replies.length) resolve();
        }).then(async (server) => {
          const socket = createConnection(server.path).setNoDelay(true);
          await once(socket, 'connect');
          for (let offset = 0; offset < stream.byteLength; offset += pieceBytes) {
            const piece = stream.subarray(offset, offset + pieceBytes);
            await new Promise((written) => socket.write(piece, written));
          }
          onTestFinished(() => void socket.destroy());
        });
      });
      await done;
      expect(seen.map(({ token, record }) => ({ token, record }))).toEqual(
        replies.map(({ token, record }) => ({ token, record })),
      );
      for (const [n, one] of seen.entries())
        expect(Buffer.from(one.body).equals(replies[n]?.body ?? Buffer.of(1))).toBe(true);
    },
  );

  it.each([
    ['a length of 0', Buffer.alloc(64)],
    ['a length below a header', Buffer.concat([Buffer.from([19, 0, 0, 0]), Buffer.alloc(64)])],
    ['a length beyond the largest frame', Buffer.from(Uint32Array.of(MAX_FRAME_BYTES + 1).buffer)],
    [
      'a record longer than its frame',
      Buffer.concat([Buffer.from([20, 0, 0, 0]), Buffer.alloc(16, 1), Buffer.from([1, 0, 0, 0])]),
    ],
    [
      'a record that is no JSON',
      Buffer.concat([
        Buffer.from([21, 0, 0, 0]),
        Buffer.alloc(16, 1),
        Buffer.from([1, 0, 0, 0]),
        Buffer.from('{'),
      ]),
    ],
  ])('closes a connection that sends %s', async (_name, bytes) => {
    const seen: Reply[] = [];
    const server = await listening((one) => seen.push(one));
    const socket = createConnection(server.path);
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    socket.write(bytes);
    await closed;
    expect([seen, server.brokenStreams]).toEqual([[], 1]);
  });

  it('takes the place of a socket that a dead gateway of the same name left', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mf-rs-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = replySocketPath(folder, 'same');
    const first = new ReplyServer(path, () => undefined);
    await first.listen();
    let received: ((one: Reply) => void) | undefined;
    const arrived = new Promise<Reply>((resolve) => {
      received = resolve;
    });
    const second = new ReplyServer(path, (one) => received?.(one));
    await second.listen();
    const socket = createConnection(path);
    socket.write(encodeReply(reply(1, 0)));
    expect((await arrived).token).toBe(reply(1, 0).token);
    socket.destroy();
    await second.close();
    await first.close();
  });
});

describe('replySocketPath', () => {
  it('lies in the run folder', () => {
    expect(replySocketPath('/run/mayfly', 'a')).toEqual({
      path: '/run/mayfly/g-a.sock',
      hasOwnFolder: false,
    });
  });

  it('is a short one in a folder of its own where the run folder is too deep for a socket', async () => {
    const place = replySocketPath(`/${'x'.repeat(100)}`, 'a'.repeat(32));
    expect(Buffer.byteLength(place.path)).toBeLessThanOrEqual(107);
    const server = new ReplyServer(place, () => undefined);
    await server.listen();
    expect((await stat(dirname(place.path))).mode & 0o777).toBe(0o700);
    await server.close();
    await expect(stat(dirname(place.path))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
