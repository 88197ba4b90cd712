import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { which } from '../lib/exec.mjs';

/** Two file descriptors a VM, besides sockets and blobs: room for a thousand sandboxes. */
const WANTED_FILES = 4096;
/** Two mappings or more a VM. */
const WANTED_MAPPINGS = 65_530;
const VULNERABILITIES = '/sys/devices/system/cpu/vulnerabilities';

export function hostFindings() {
  return [...programs(), fileLimit(), mappings(), ...multiTenant()];
}

function programs() {
  return ['gcc', 'g++', 'make', 'python3'].map((name) =>
    which(name)
      ? { level: 'ok', what: name }
      : { level: 'missing', what: name, advice: 'apt-get install -y gcc g++ make python3' },
  );
}

function fileLimit() {
  const line = /Max open files\s+(\d+|unlimited)/.exec(read('/proc/self/limits') ?? '');
  const limit = line?.[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[1] ?? 0);
  if (limit >= WANTED_FILES) return { level: 'ok', what: `open files: ${limit}` };
  return {
    level: 'warn',
    what: `open files: ${limit}`,
    advice: `A sandbox takes two: raise the limit (ulimit -n ${WANTED_FILES}).`,
  };
}

function mappings() {
  const count = Number(read('/proc/sys/vm/max_map_count') ?? 0);
  if (count >= WANTED_MAPPINGS) return { level: 'ok', what: `memory mappings: ${count}` };
  return {
    level: 'warn',
    what: `memory mappings: ${count}`,
    advice: `sysctl vm.max_map_count=${WANTED_MAPPINGS}`,
  };
}

/** What leaks between tenants beside the VM boundary, or keeps their memory where it does not belong. */
function multiTenant() {
  const findings = [];
  const smt = read('/sys/devices/system/cpu/smt/active');
  if (smt === '1')
    findings.push({
      level: 'warn',
      what: 'SMT is on',
      advice:
        'Sibling threads share caches: turn it off (echo off > /sys/devices/system/cpu/smt/control) or use core scheduling.',
    });
  else findings.push({ level: 'ok', what: `SMT ${smt === '0' ? 'is off' : 'is not reported'}` });

  const ksm = read('/sys/kernel/mm/ksm/run');
  if (ksm === '1')
    findings.push({
      level: 'warn',
      what: 'KSM merges pages',
      advice: 'Equal pages of two tenants can be told apart by timing: echo 2 > /sys/kernel/mm/ksm/run',
    });
  else findings.push({ level: 'ok', what: 'KSM does not merge pages' });

  const swaps = (read('/proc/swaps') ?? '').split('\n').slice(1).filter(Boolean);
  if (swaps.length > 0)
    findings.push({
      level: 'warn',
      what: `swap on ${swaps.map((line) => line.split(/\s+/)[0]).join(', ')}`,
      advice: 'Guest memory may reach a disk: swapoff -a',
    });
  else findings.push({ level: 'ok', what: 'no swap' });

  if (!existsSync(VULNERABILITIES))
    findings.push({
      level: 'warn',
      what: 'the kernel reports no CPU vulnerabilities at all',
      advice: 'Use a kernel that does.',
    });
  else {
    const open = readdirSync(VULNERABILITIES)
      .map((name) => ({ name, state: read(`${VULNERABILITIES}/${name}`) ?? '' }))
      .filter(({ state }) => /vulnerable/i.test(state) && !/^not affected/i.test(state));
    for (const { name, state } of open)
      findings.push({
        level: 'warn',
        what: `CPU vulnerability ${name}: ${state}`,
        advice: 'Update microcode and kernel, or boot with mitigations=auto.',
      });
    if (open.length === 0) findings.push({ level: 'ok', what: 'CPU vulnerabilities are mitigated' });
  }
  const virt = spawnSync('systemd-detect-virt', ['--vm'], { encoding: 'utf8' });
  if (virt.status === 0)
    findings.push({ level: 'note', what: `this host is itself a virtual machine (${virt.stdout.trim()})` });
  return findings;
}

function read(file) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
