// Forgets to close: idle VMs and an idle driver do not keep the process alive.
import { createDriver, haltingVm, runToHalt } from './common.mjs';

const driver = await createDriver();
const vms = await Promise.all([1, 2, 3].map(() => haltingVm(driver)));
await Promise.all(vms.map(runToHalt));
console.log('ok');
