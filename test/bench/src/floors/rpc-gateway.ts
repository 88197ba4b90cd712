import Fastify from 'fastify';
import { connect } from './redis.js';
import { type EchoRequest, schema } from './request.js';

/** The least that a queue in Redis can be: a request list, a reply list, a blocking pop at each end. */
const [redisUrl, port] = process.argv.slice(2) as [string, string];
const sender = connect(redisUrl);
const receiver = connect(redisUrl);
const waiting = new Map<number, (text: string) => void>();
let lastId = 0;

async function receive(): Promise<never> {
  for (;;) {
    const popped = (await receiver.call('BLMPOP', '0', '1', 'rpc:reply', 'LEFT', 'COUNT', '512')) as [
      string,
      string[],
    ];
    for (const message of popped[1]) {
      const { id, text } = JSON.parse(message) as { id: number; text: string };
      waiting.get(id)?.(text);
      waiting.delete(id);
    }
  }
}
void receive();

const app = Fastify();
app.post<{ Body: EchoRequest }>('/invoke', { schema }, async (request) => {
  lastId += 1;
  const id = lastId;
  const answer = new Promise<string>((resolve) => waiting.set(id, resolve));
  void sender.rpush('rpc:request', JSON.stringify({ id, body: request.body }));
  return { result: { type: 'string', value: await answer } };
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
process.send?.('ready');
