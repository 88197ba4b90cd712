import { Queue, QueueEvents } from 'bullmq';
import Fastify from 'fastify';
import { connect } from './redis.js';
import { type EchoRequest, schema } from './request.js';

/** BullMQ as its documentation shows it: add, then wait for the job to finish. */
const [redisUrl, port] = process.argv.slice(2) as [string, string];
const queue = new Queue('textbook', { connection: connect(redisUrl) });
const events = new QueueEvents('textbook', { connection: connect(redisUrl) });
// Each waiting call adds a listener (queue-floors 3a).
queue.setMaxListeners(0);
events.setMaxListeners(0);
await events.waitUntilReady();

const app = Fastify();
app.post<{ Body: EchoRequest }>('/invoke', { schema }, async (request) => {
  const job = await queue.add('call', request.body, { removeOnComplete: { count: 1000 } });
  return { result: await job.waitUntilFinished(events) };
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
process.send?.('ready');
