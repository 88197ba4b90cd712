// Child processes are spawned while guests run: they inherit no descriptor of the addon, and the guests go on.
import { execFileSync } from 'node:child_process';
import { createDriver, entry, expectEqual, haltingVm, leftovers, NOTHING, runToHalt } from './common.mjs';

const driver = await createDriver();
const vm = await haltingVm(driver);
await runToHalt(vm);
const snapshot = await vm.snapshot();
for (let i = 0; i < 5; i++) {
  const listing = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
  expectEqual(/kvm|mayfly/.test(listing), false);
  const { exit, dirtyPages } = await vm.run({ restore: true, entry, startsCall: true });
  vm.endCall();
  expectEqual([exit.kind, dirtyPages], ['halt', 0]);
}
snapshot.close();
await driver.close();
expectEqual(leftovers(), NOTHING);
console.log('ok');
