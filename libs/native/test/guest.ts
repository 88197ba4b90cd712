import { accessSync, constants } from 'node:fs';
import type { DriverVm, HypervisorDriver, RunAnswer, RunRequest, VmPlan } from '@mayfly/hypervisor';

/** Why KVM tests cannot run here; undefined where they can. */
export const noKvm: string | undefined = (() => {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `/dev/kvm cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
})();

export const CODE = 0x1_0000;
export const OUTPUT = 0x1_9000;
export const STACK_TOP = 0x2_1000;
export const DATA = 0x20_0000;
export const MEMORY_BYTES = 0x40_0000;

/** Machine code of the tests' guests, one byte string per instruction. */
const PROGRAMS = {
  // mov %rdi,0x200000; hlt
  storeAndHalt: '48893c2500002000 f4',
  // mov %rdi,0x200008; mov 0x203000,%rax; add $1,%rax; mov %rax,0x200000; hlt
  addOne: '48893c2508002000 488b042500302000 4883c001 4889042500002000 f4',
  // mov %cr4,%rax; mov %rax,%cr4; rdmsr
  ring0: '0f20e0 0f22e0 0f32',
  // jmp .
  spin: 'ebfe',
  // out %al,$0x65; mov %rdi,0x200000; hlt
  hostCall: 'e665 48893c2500002000 f4',
  // mov $99,%edx; out %eax,(%dx); mov $103,%edx; mov $0x41,%eax; out %eax,(%dx); hlt
  logs: 'ba63000000 ef ba67000000 b841000000 ef f4',
  // ud2
  undefined: '0f0b',
  // mov 0x10,%rax
  nullRead: '488b042510000000',
  // in (%dx),%al
  input: 'ec',
} as const;

export type ProgramName = keyof typeof PROGRAMS;

export function programBytes(name: ProgramName): Uint8Array {
  return Uint8Array.from(Buffer.from(PROGRAMS[name].replaceAll(' ', ''), 'hex'));
}

export function planOf(name: ProgramName): VmPlan {
  return {
    memoryBytes: MEMORY_BYTES,
    regions: [
      { address: CODE, lengthBytes: 0x1000, rights: 5 },
      { address: OUTPUT, lengthBytes: 0x1000, rights: 3 },
      { address: STACK_TOP - 0x1000, lengthBytes: 0x1000, rights: 3 },
      { address: DATA, lengthBytes: 0x10_0000, rights: 3 },
    ],
    load: [{ address: CODE, bytes: programBytes(name) }],
    outputBuffer: { address: OUTPUT, lengthBytes: 0x1000 },
  };
}

export function makeVm(driver: HypervisorDriver, name: ProgramName): Promise<DriverVm> {
  return driver.createVm(planOf(name));
}

export function entry(rdi = 0n): NonNullable<RunRequest['entry']> {
  return { rip: BigInt(CODE), rsp: BigInt(STACK_TOP - 8), rdi };
}

/** One call from its entry to the exit that settles it. */
export async function call(vm: DriverVm, request: RunRequest = {}): Promise<RunAnswer> {
  try {
    return await vm.run({ entry: entry(), startsCall: true, ...request });
  } finally {
    vm.endCall();
  }
}

export function u64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

export function bytesOfU64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}
