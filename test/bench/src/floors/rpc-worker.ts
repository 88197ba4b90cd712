import { createEcho } from './echo-sandboxes.js';
import { connect } from './redis.js';
import type { EchoRequest } from './request.js';

const [redisUrl, elfFile] = process.argv.slice(2) as [string, string];
const CONCURRENCY = 16;
const echo = await createEcho(elfFile, CONCURRENCY);
const receiver = connect(redisUrl);
const sender = connect(redisUrl);
process.send?.('ready');

async function answer(message: string): Promise<void> {
  const { id, body } = JSON.parse(message) as { id: number; body: EchoRequest };
  const text = await echo(body.args[0]?.value ?? '');
  void sender.rpush('rpc:reply', JSON.stringify({ id, text }));
}

for (;;) {
  const popped = (await receiver.call(
    'BLMPOP',
    '0',
    '1',
    'rpc:request',
    'LEFT',
    'COUNT',
    `${CONCURRENCY}`,
  )) as [string, string[]];
  await Promise.race([Promise.all(popped[1].map(answer)), new Promise((resolve) => setImmediate(resolve))]);
}
