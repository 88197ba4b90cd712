// A VM, then a whole driver, is closed while guests run; each run settles as cancelled.
import { createDriver, entry, expectEqual, leftovers, NOTHING, spinningVm } from './common.mjs';

const driver = await createDriver();
const vms = await Promise.all([1, 2, 3, 4, 5].map(() => spinningVm(driver)));
const runs = vms.map((vm) => vm.run({ entry, startsCall: true }));
await vms[0].close();
expectEqual((await runs[0]).exit, { kind: 'cancelled', by: 'kill' });
await driver.close();
for (const run of runs) expectEqual((await run).exit, { kind: 'cancelled', by: 'kill' });
expectEqual(leftovers(), NOTHING);
console.log('ok');
