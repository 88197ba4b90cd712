import { encodeReplyFrame } from '@mayfly/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ReplyRouter } from '../../src/reply/reply-router.js';
import { replyToken } from '../helpers/jobs.js';
import { ReplyServer } from '../helpers/reply-server.js';

let server: ReplyServer;
let router: ReplyRouter;

beforeEach(async () => {
  server = await ReplyServer.start();
  router = new ReplyRouter();
});
afterEach(async () => {
  router.close();
  await server.stop();
});

const frame = (number: number, body = '') =>
  encodeReplyFrame(replyToken(), JSON.stringify({ number }), Buffer.from(body));
const numbers = () => server.replies.map(({ record }) => (record as unknown as { number: number }).number);
const unexpected = () => {
  throw new Error('the frame failed');
};

/** Sends and tells whether the frame failed. */
async function sent(socketPath: string, bytes: Buffer): Promise<'left' | 'failed'> {
  let end: 'left' | 'failed' = 'left';
  router.send(socketPath, bytes, 'at-once', () => {
    end = 'failed';
  });
  await router.flushed();
  await new Promise((resolve) => setImmediate(resolve));
  return end;
}

test('frames arrive whole and in order over one connection', async () => {
  for (let number = 0; number < 500; number += 1) {
    const pace = number % 2 === 0 ? 'at-once' : 'gathered';
    router.send(server.socketPath, frame(number, 'x'.repeat(number * 7)), pace, unexpected);
  }
  await server.received(500);
  expect(numbers()).toEqual(Array.from({ length: 500 }, (_, number) => number));
  expect(server.replies[499]?.body.byteLength).toBe(499 * 7);
  expect(server.connections).toBe(1);
});

const send = (number: number, pace: 'at-once' | 'gathered') =>
  router.send(server.socketPath, frame(number), pace, unexpected);

test('gathered frames that nobody lets go leave by themselves', async () => {
  send(1, 'gathered');
  await server.received(1);
  send(2, 'gathered');
  await server.received(2);
  expect(numbers()).toEqual([1, 2]);
});

test('a gathered frame goes before one that leaves at once after it', async () => {
  send(0, 'at-once');
  await server.received(1);
  send(1, 'gathered');
  send(2, 'at-once');
  await server.received(3);
  expect(numbers()).toEqual([0, 1, 2]);
});

test('a socket that is not there fails the frame', async () => {
  expect(await sent(`${server.socketPath}-none`, frame(1))).toBe('failed');
  expect(await sent(`${server.socketPath}-none`, frame(2))).toBe('failed');
});

test('a gateway that comes back is reached again', async () => {
  await sent(server.socketPath, frame(1));
  await server.received(1);
  await server.hangUp();
  await server.listen();
  // Frames that meet the broken connection may fail; sooner or later one arrives.
  while (server.replies.length < 2) await sent(server.socketPath, frame(2));
  expect(numbers().slice(0, 2)).toEqual([1, 2]);
  expect(server.connections).toBe(2);
});

test('a gateway that hangs up fails only its own frames', async () => {
  const other = await ReplyServer.start();
  try {
    await server.hangUp();
    const ends = await Promise.all([sent(server.socketPath, frame(1)), sent(other.socketPath, frame(2))]);
    expect(ends).toEqual(['failed', 'left']);
    await other.received(1);
  } finally {
    await other.stop();
  }
});

test('hundreds of gateways that do not exist leave nothing behind', async () => {
  const ends = await Promise.all(
    Array.from({ length: 300 }, (_, index) => sent(`${server.socketPath}-${index}`, frame(index))),
  );
  expect(new Set(ends)).toEqual(new Set(['failed']));
  expect(await sent(server.socketPath, frame(1))).toBe('left');
});
