// Every close twice, at once and one after the other, and in the wrong order.
import { createDriver, expectEqual, haltingVm, leftovers, NOTHING, runToHalt } from './common.mjs';

const driver = await createDriver();
const vm = await haltingVm(driver);
await runToHalt(vm);
const snapshot = await vm.snapshot();
const late = await haltingVm(driver);
await Promise.all([vm.close(), vm.close()]);
await vm.close();
await Promise.all([driver.close(), driver.close()]);
await driver.close();
await late.close();
await late.close();
snapshot.close();
snapshot.close();
expectEqual(late.interrupt.dropped, true);
expectEqual(leftovers(), NOTHING);
console.log('ok');
