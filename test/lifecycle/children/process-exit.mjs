// Leaves by process.exit while guests run and others wait.
import { createDriver, entry, spinningVm } from './common.mjs';

const driver = await createDriver();
const vms = await Promise.all([1, 2, 3, 4].map(() => spinningVm(driver)));
for (const vm of vms) void vm.run({ entry, startsCall: true });
setTimeout(() => {
  console.log('ok');
  process.exit(0);
}, 20);
