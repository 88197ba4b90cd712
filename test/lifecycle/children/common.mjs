import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createKvmDriver } from '@mayfly/hypervisor';

const CODE = 0x1000;
const STACK_TOP = 0x3000;
const SPIN = Uint8Array.of(0xeb, 0xfe); // jmp .
const HALT = Uint8Array.of(0xf4); // hlt

export const entry = { rip: BigInt(CODE), rsp: BigInt(STACK_TOP - 8) };

function planOf(code) {
  return {
    memoryBytes: 0x10000,
    regions: [
      { address: CODE, lengthBytes: 0x1000, rights: 5 },
      { address: STACK_TOP - 0x1000, lengthBytes: 0x1000, rights: 3 },
    ],
    load: [{ address: CODE, bytes: code }],
  };
}

export const createDriver = () => createKvmDriver({ slots: 2, spareShells: 1 });
export const spinningVm = (driver) => driver.createVm(planOf(SPIN));
export const haltingVm = (driver) => driver.createVm(planOf(HALT));

export async function runToHalt(vm) {
  const { exit } = await vm.run({ entry, startsCall: true });
  vm.endCall();
  expectEqual(exit.kind, 'halt');
}

export function expectEqual(actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a === b) return;
  console.error(`got ${a}, expected ${b}`);
  process.exit(2);
}

/** What of the addon's is left in this process: threads, KVM descriptors and mappings, snapshots. */
export function leftovers() {
  const threads = readdirSync('/proc/self/task')
    .map((id) => quietly(() => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim()))
    .filter((name) => name?.startsWith('mf-')).length;
  const descriptors = readdirSync('/proc/self/fd')
    .map((fd) => quietly(() => readlinkSync(`/proc/self/fd/${fd}`)))
    .filter((target) => /kvm|mayfly/.test(target ?? '')).length;
  const mappings = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => /kvm-v|mayfly-snapshot/.test(line)).length;
  return { threads, descriptors, mappings };
}

export const NOTHING = { threads: 0, descriptors: 0, mappings: 0 };

/** Lets the event loop turn until nothing is left, at most `turns` times. */
export async function untilNothingIsLeft(turns = 2000) {
  for (let i = 0; i < turns && JSON.stringify(leftovers()) !== JSON.stringify(NOTHING); i++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expectEqual(leftovers(), NOTHING);
}

function quietly(read) {
  try {
    return read();
  } catch {
    return undefined; // it ended between the listing and the look
  }
}
