// Dies of an error that nobody catches while a guest runs.
import { createDriver, entry, spinningVm } from './common.mjs';

const driver = await createDriver();
const vm = await spinningVm(driver);
void vm.run({ entry, startsCall: true });
setTimeout(() => {
  console.log('ok');
  throw new TypeError('nobody catches this');
}, 20);
