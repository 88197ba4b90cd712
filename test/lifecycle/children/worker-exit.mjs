// A worker ends by itself with an open driver, beside a driver of the main thread that goes on.
import { once } from 'node:events';
import { isMainThread, Worker } from 'node:worker_threads';
import { createDriver, expectEqual, haltingVm, leftovers, NOTHING, runToHalt } from './common.mjs';

const driver = await createDriver();
const vm = await haltingVm(driver);
await runToHalt(vm);
if (isMainThread) {
  for (let i = 0; i < 3; i++) {
    const [code] = await once(new Worker(new URL(import.meta.url)), 'exit');
    expectEqual(code, 0);
    await runToHalt(vm);
  }
  await driver.close();
  expectEqual(leftovers(), NOTHING);
  console.log('ok');
}
