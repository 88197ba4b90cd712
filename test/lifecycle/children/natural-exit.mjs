// Closes all it made; nothing is left, and nothing keeps the process alive.
import { createDriver, expectEqual, haltingVm, leftovers, NOTHING, runToHalt } from './common.mjs';

for (let i = 0; i < 5; i++) {
  const driver = await createDriver();
  const vm = await haltingVm(driver);
  await runToHalt(vm);
  const snapshot = await vm.snapshot();
  const clone = await driver.createVmFromSnapshot(snapshot);
  await runToHalt(clone);
  await vm.close();
  await clone.close();
  snapshot.close();
  await driver.close();
}
expectEqual(leftovers(), NOTHING);
console.log('ok');
