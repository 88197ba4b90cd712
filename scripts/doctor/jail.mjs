import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { root } from '../lib/exec.mjs';

const PROGRAM = path.join(root, 'libs/native/build/mayfly-jail-check');

/** Without one of these a worker of more than one tenant does not start (docs/threat-model.md). */
const REQUIRED = ['user-namespace', 'mount-namespace', 'net-namespace', 'seccomp'];

const NAMESPACES =
  'Run the worker as root, or allow user namespaces to it: sysctl user.max_user_namespaces=65536, and where they exist kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0. In a container, allow clone, unshare, mount and pivot_root.';
const ADVICE = {
  'pid-namespace': NAMESPACES,
  'mount-namespace': NAMESPACES,
  'net-namespace': NAMESPACES,
  'ipc-namespace': NAMESPACES,
  'uts-namespace': NAMESPACES,
  'user-namespace': NAMESPACES,
  seccomp: 'Use a kernel with CONFIG_SECCOMP_FILTER.',
  'own-user':
    'All cells share the user of the worker. Start the worker as root, or give it CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN.',
};

/** Whether a worker of more than one tenant may start here. */
export function jailSuffices() {
  if (!existsSync(PROGRAM)) return false;
  const { status, stdout } = spawnSync(PROGRAM, { encoding: 'utf8', timeout: 10_000 });
  return status === 0 && REQUIRED.every((layer) => stdout.includes(`${layer} in-place`));
}

/** What this host allows of a cell's jail: the same code jails a process of its own and tells. */
export function jailFindings() {
  if (!existsSync(PROGRAM))
    return [
      { level: 'note', what: 'the jail of cells is not checked before the first build (npm run build)' },
    ];
  const check = spawnSync(PROGRAM, { encoding: 'utf8', timeout: 10_000 });
  if (check.status !== 0) {
    const what = `no cell can be jailed here: ${(check.stderr || String(check.error)).trim()}`;
    return [{ level: 'missing', what, advice: NAMESPACES }];
  }
  const layers = check.stdout
    .trim()
    .split('\n')
    .map((line) => /^(\S+) (\S+) (.*)$/.exec(line) ?? [])
    .map(([, name, state, text]) => ({ name, state, text }));
  const inPlace = layers.filter(({ state }) => state === 'in-place').map(({ name }) => name);
  return [
    { level: 'ok', what: `jail of cells: ${inPlace.join(', ') || 'nothing'}` },
    ...layers.filter(({ state }) => state !== 'in-place').map(finding),
  ];
}

function finding({ name, text }) {
  const refusal = REQUIRED.includes(name) ? ' A worker of more than one tenant does not start so.' : '';
  return { level: 'warn', what: `jail of cells, ${text}`, advice: `${ADVICE[name] ?? ''}${refusal}`.trim() };
}
