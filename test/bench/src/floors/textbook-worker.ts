import { Worker } from 'bullmq';
import { createEcho } from './echo-sandboxes.js';
import { connect } from './redis.js';
import type { EchoRequest } from './request.js';

const [redisUrl, elfFile] = process.argv.slice(2) as [string, string];
const CONCURRENCY = 16;
const echo = await createEcho(elfFile, CONCURRENCY);
const worker = new Worker<EchoRequest>(
  'textbook',
  async (job) => ({ type: 'string', value: await echo(job.data.args[0]?.value ?? '') }),
  { connection: connect(redisUrl), concurrency: CONCURRENCY },
);
await worker.waitUntilReady();
process.send?.('ready');
