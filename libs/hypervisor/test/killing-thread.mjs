// A worker thread of the tests: does with a shared interrupt handle what it is told to, and answers.
import { parentPort, workerData } from 'node:worker_threads';
import { InterruptHandle } from '@mayfly/hypervisor';
import { loadBinding } from '@mayfly/native';

/** Words of a race: rounds that were asked for, rounds that were shot, and what the latest kill answered. */
const ORDER = 0;
const SHOT = 1;
const ANSWER = 2;

const handle = workerData.shared && InterruptHandle.from(workerData.shared);

parentPort.on('message', ({ ask, args = [] }) => {
  switch (ask) {
    case 'kill':
      parentPort.postMessage(handle.kill());
      break;
    case 'dropped':
      parentPort.postMessage(handle.dropped());
      break;
    case 'share':
      parentPort.postMessage(handle.share());
      break;
    case 'kill natively':
      loadBinding().sharedKill(args[0])?.kill(args[1]);
      parentPort.postMessage(true);
      break;
    case 'race':
      race(new Int32Array(args[0]));
      parentPort.postMessage(true);
  }
});
parentPort.postMessage('ready');

/** For each round that its words ask for, kills at a random moment; ends at a negative one. */
function race(words) {
  for (let seen = 0; ; ) {
    Atomics.wait(words, ORDER, seen);
    seen = Atomics.load(words, ORDER);
    if (seen < 0) return;
    for (let spins = Math.random() * 20_000; spins > 0; spins--);
    Atomics.store(words, ANSWER, handle.kill() ? 1 : 0);
    Atomics.store(words, SHOT, seen);
    Atomics.notify(words, SHOT);
  }
}
