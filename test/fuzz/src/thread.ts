import { parentPort, workerData } from 'node:worker_threads';
import { readCorpus } from './corpus.js';
import { TARGETS } from './targets/index.js';
import { fuzzInThread, type ThreadData } from './watched-run.js';

const data = workerData as ThreadData;
const target = TARGETS.find(({ name }) => name === data.target);
if (target) parentPort?.postMessage(fuzzInThread(target, data, readCorpus(target.name)));
