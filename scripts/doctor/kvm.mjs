import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';

/** KVM API version 12 since Linux 2.6.22; capabilities by the numbers of linux/kvm.h. */
const API_VERSION = 12;
const CAPABILITIES = { KVM_CAP_USER_MEMORY: 3, KVM_CAP_IMMEDIATE_EXIT: 136, KVM_CAP_SYNC_REGS: 74 };
/** What the guest's entry needs of the CPU; flags as /proc/cpuinfo names them. */
const CPU_FEATURES = ['lm', 'nx', 'sse2', 'fxsr', 'xsave', 'rdtscp'];

/** Node has no ioctl; python3 is on every machine that this project asks for. */
const PROBE = `
import fcntl, json, os
fd = os.open('/dev/kvm', os.O_RDWR | os.O_CLOEXEC)
capabilities = ${JSON.stringify(CAPABILITIES)}
print(json.dumps({
  'version': fcntl.ioctl(fd, 0xAE00, 0),
  'capabilities': {name: fcntl.ioctl(fd, 0xAE03, number) for name, number in capabilities.items()},
}))
`;

export function kvmFindings() {
  const findings = [cpuFinding()];
  if (!existsSync('/dev/kvm')) {
    const advice =
      'Load the module (modprobe kvm_intel or kvm_amd), enable virtualisation in the firmware, or use a host with nested virtualisation.';
    return [...findings, { level: 'missing', what: 'no /dev/kvm', advice }];
  }
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    const advice = 'Add this user to the group that owns it: sudo usermod -aG kvm $USER, then log in again.';
    return [...findings, { level: 'missing', what: 'no permission on /dev/kvm', advice }];
  }
  return [...findings, ...apiFindings(), kindFinding()];
}

function apiFindings() {
  const probe = spawnSync('python3', ['-c', PROBE], { encoding: 'utf8' });
  if (probe.status !== 0) {
    const lastLine = (probe.stderr || String(probe.error)).trim().split('\n').at(-1);
    return [
      {
        level: 'missing',
        what: `/dev/kvm does not answer: ${lastLine}`,
        advice: 'Is python3 installed, and the KVM module working?',
      },
    ];
  }
  const { version, capabilities } = JSON.parse(probe.stdout);
  const findings = [
    version === API_VERSION
      ? { level: 'ok', what: `KVM API ${version}` }
      : { level: 'missing', what: `KVM API ${version}`, advice: `Mayfly needs version ${API_VERSION}.` },
  ];
  for (const [name, value] of Object.entries(capabilities)) {
    // Sync regs is a bit set: general, special and event registers are all needed (7).
    const ok = name === 'KVM_CAP_SYNC_REGS' ? (value & 7) === 7 : value > 0;
    if (ok) findings.push({ level: 'ok', what: name });
    else
      findings.push({
        level: 'missing',
        what: `${name} is ${value}`,
        advice: 'Use a newer kernel (5.4 or later).',
      });
  }
  return findings;
}

/** Hardware: VMX or SVM beneath KVM. Software: guest ring 0 is emulated; Mayfly's guests run in ring 3 natively. */
function kindFinding() {
  const flags = cpuFlags();
  const modules = readdirSync('/sys/module').filter((name) => /^kvm_/.test(name));
  const hardware = ['kvm_intel', 'kvm_amd'].find((name) => modules.includes(name));
  if (hardware && (flags.has('vmx') || flags.has('svm'))) {
    return { level: 'ok', what: `hardware KVM (${hardware})` };
  }
  const advice =
    'Guests run at native speed in ring 3. The isolation rests on that module; prefer VMX or SVM for tenants who do not trust each other.';
  return { level: 'note', what: `software KVM (${modules.join(', ') || 'no vendor module'})`, advice };
}

function cpuFinding() {
  const flags = cpuFlags();
  const missing = CPU_FEATURES.filter((name) => !flags.has(name));
  if (process.arch !== 'x64')
    return { level: 'missing', what: `CPU architecture ${process.arch}`, advice: 'Mayfly runs on x86-64.' };
  if (missing.length > 0)
    return {
      level: 'missing',
      what: `CPU features ${missing.join(', ')}`,
      advice: 'Use a CPU (or a VM type) that has them.',
    };
  return { level: 'ok', what: `CPU features ${CPU_FEATURES.join(' ')}` };
}

function cpuFlags() {
  const line = readFileSync('/proc/cpuinfo', 'utf8')
    .split('\n')
    .find((text) => text.startsWith('flags'));
  return new Set((line ?? '').split(':')[1]?.trim().split(/\s+/) ?? []);
}
