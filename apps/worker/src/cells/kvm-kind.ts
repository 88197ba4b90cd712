import { existsSync, readFileSync } from 'node:fs';
import type { KvmKind } from '@mayfly/contracts';

/** Modules that stand on VMX and SVM, and the CPU flag of each. */
const HARDWARE = { kvm_intel: 'vmx', kvm_amd: 'svm' };

/** What stands beneath KVM here: the CPU's own virtualisation, or software that the isolation then rests on. */
export function kvmKind(): KvmKind {
  const flags = cpuFlags();
  const isHardware = Object.entries(HARDWARE).some(
    ([module, flag]) => existsSync(`/sys/module/${module}`) && flags.has(flag),
  );
  return isHardware ? 'hardware' : 'software';
}

function cpuFlags(): Set<string> {
  const line = readFileSync('/proc/cpuinfo', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('flags'));
  return new Set(line?.split(':')[1]?.trim().split(/\s+/));
}
