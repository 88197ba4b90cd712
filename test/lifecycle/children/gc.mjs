// VMs and snapshots that nobody closed are freed when they are collected. Needs --expose-gc.
import { createDriver, expectEqual, haltingVm, leftovers, runToHalt, untilNothingIsLeft } from './common.mjs';

const driver = await createDriver();

async function makeAndForget() {
  for (let i = 0; i < 10; i++) {
    const vm = await haltingVm(driver);
    await runToHalt(vm);
    const snapshot = await vm.snapshot();
    await runToHalt(await driver.createVmFromSnapshot(snapshot));
  }
}

const before = leftovers();
await makeAndForget();
for (let i = 0; i < 2000 && leftovers().descriptors > before.descriptors + 4; i++) {
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 5));
}
// One spare shell may have been made meanwhile: two descriptors and a mapping.
expectEqual(leftovers().descriptors <= before.descriptors + 4, true);
await driver.close();
await untilNothingIsLeft();
console.log('ok');
