// Workers are terminated while their guests run; the process keeps nothing of theirs.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import {
  createDriver,
  entry,
  expectEqual,
  haltingVm,
  leftovers,
  NOTHING,
  runToHalt,
  spinningVm,
} from './common.mjs';

if (isMainThread) {
  for (let i = 0; i < 4; i++) {
    const worker = new Worker(new URL(import.meta.url));
    await once(worker, 'message');
    await worker.terminate();
    expectEqual(leftovers(), NOTHING);
  }
  // The addon still works here after workers that had it are gone.
  const driver = await createDriver();
  await runToHalt(await haltingVm(driver));
  await driver.close();
  expectEqual(leftovers(), NOTHING);
  console.log('ok');
} else {
  const driver = await createDriver();
  const vms = await Promise.all([1, 2, 3].map(() => spinningVm(driver)));
  for (const vm of vms) void vm.run({ entry, startsCall: true });
  parentPort.postMessage('running');
  setInterval(() => {}, 1000);
}
