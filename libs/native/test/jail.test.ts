import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

const BUILT = fileURLToPath(new URL('../build/mayfly-jail-check', import.meta.url));
const LAYERS = 13;
/** Nobody's, on any host. */
const STRANGER = 61_234;
const asRoot = process.getuid?.() === 0;

interface Held {
  readonly parent: ChildProcessByStdio<Writable, Readable, null>;
  readonly pid: number;
  readonly report: Map<string, string>;
}

const running: Held['parent'][] = [];

afterEach(async () => {
  for (const parent of running.splice(0)) {
    parent.stdin.end();
    if (parent.exitCode === null && parent.signalCode === null) await once(parent, 'exit');
  }
});

/** Jails a process as a worker of that user would, and keeps it until the test ends. */
async function jailed(program: string, options: { uid?: number; gid?: number } = {}): Promise<Held> {
  const parent = spawn(program, ['--hold'], { ...options, cwd: '/', stdio: ['pipe', 'pipe', 'inherit'] });
  running.push(parent);
  const report = new Map<string, string>();
  for await (const line of createInterface({ input: parent.stdout })) {
    const [name = '', state = ''] = line.split(' ');
    if (name === 'pid') return { parent, pid: Number(state), report };
    report.set(name, state);
  }
  throw new Error('the check ended without naming its process');
}

const status = (pid: number) =>
  new Map(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .map((line) => line.split(':\t') as [string, string]),
  );
const ids = (text: string | undefined) => (text ?? '').trim().split(/\s+/).map(Number);
const ownNamespace = (pid: number, kind: string) =>
  readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`);
const limit = (pid: number, name: string) =>
  new RegExp(`^${name} +(\\S+) +(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.slice(1);

/** Layer by layer, what is seen from outside. */
function observed(pid: number): Map<string, boolean> {
  const state = status(pid);
  return new Map([
    ['pid-namespace', ownNamespace(pid, 'pid')],
    ['mount-namespace', ownNamespace(pid, 'mnt')],
    ['net-namespace', ownNamespace(pid, 'net')],
    ['ipc-namespace', ownNamespace(pid, 'ipc')],
    ['uts-namespace', ownNamespace(pid, 'uts')],
    ['user-namespace', ownNamespace(pid, 'user')],
    ['own-user', ids(state.get('Uid')).every((uid) => uid >= 0x7000_0000)],
    [
      'no-capabilities',
      ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].every((set) => /^0+$/.test(state.get(`Cap${set}`) ?? '1')),
    ],
    ['no-new-privileges', state.get('NoNewPrivs') === '1'],
    ['seccomp', state.get('Seccomp') === '2'],
    [
      'limits',
      limit(pid, 'Max core file size')?.join() === '0,0' && limit(pid, 'Max locked memory')?.join() === '0,0',
    ],
    ['descriptors', readdirSync(`/proc/${pid}/fd`).join() === '0,1,2,3,4'],
  ]);
}

// Only root sees all of a process that is not dumpable.
describe.skipIf(!asRoot)(`the jail, looked at from outside${asRoot ? '' : ' (needs root)'}`, () => {
  let program = BUILT;
  beforeAll(() => {
    // Where a stranger can run it, too.
    const folder = mkdtempSync(path.join(tmpdir(), 'mayfly-jail-'));
    spawnSync('chmod', ['755', folder]);
    program = path.join(folder, 'check');
    copyFileSync(BUILT, program);
    return () => rmSync(folder, { recursive: true });
  });

  it.each([
    ['root', {}],
    ['a user without rights', { uid: STRANGER, gid: STRANGER }],
  ])('has what a worker of %s reports of it, layer by layer', async (_, user) => {
    const { pid, report } = await jailed(program, user);
    expect(report.size).toBe(LAYERS);
    const seen = observed(pid);
    for (const [layer, inPlace] of seen)
      expect({ layer, state: report.get(layer) === 'in-place' }).toEqual({ layer, state: inPlace });
  });

  it('belongs to root as far as others may look into it, since it is not dumpable', async () => {
    const { pid, report } = await jailed(program);
    expect(report.get('not-dumpable')).toBe('in-place');
    expect(statSync(`/proc/${pid}/environ`).uid).toBe(0);
  });

  it('is complete for a worker of root, where the host allows it', async () => {
    const { report } = await jailed(program);
    expect([...report].filter(([, state]) => state !== 'in-place')).toEqual([]);
  });

  it('is complete but for a user of its own for a worker without rights', async () => {
    const { report } = await jailed(program, { uid: STRANGER, gid: STRANGER });
    expect([...report].filter(([, state]) => state !== 'in-place')).toEqual([['own-user', 'refused']]);
  });

  it('is nobody inside, no one else outside, and in no group', async () => {
    const { pid } = await jailed(program);
    const state = status(pid);
    const [uid = 0] = ids(state.get('Uid'));
    expect(uid).toBe(0x7000_0000 + pid);
    expect(ids(state.get('Uid'))).toEqual([uid, uid, uid, uid]);
    expect(ids(state.get('Gid'))).toEqual([uid, uid, uid, uid]);
    expect(state.get('Groups')?.trim()).toBe('');
    expect(readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/)).toEqual([
      '65534',
      String(uid),
      '1',
    ]);
  });

  it('has an empty root that takes no file, and nothing else mounted', async () => {
    const { pid } = await jailed(program);
    expect(readdirSync(`/proc/${pid}/root/`)).toEqual([]);
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
    expect(mounts).toHaveLength(1);
    expect(mounts[0]).toMatch(/ \/ \/ ro,nosuid,nodev,noexec.* - tmpfs /);
  });

  it('has no network device that is up, and only itself in its pid namespace', async () => {
    const { pid } = await jailed(program);
    expect(readFileSync(`/proc/${pid}/net/route`, 'utf8').trim().split('\n')).toHaveLength(1);
    expect(status(pid).get('NSpid')?.trim().split(/\s+/)).toEqual([String(pid), '1']);
  });

  it('has no environment, and leaves no core', async () => {
    const { pid } = await jailed(program);
    expect(readFileSync(`/proc/${pid}/environ`)).toHaveLength(0);
    expect(limit(pid, 'Max core file size')).toEqual(['0', '0']);
  });

  it('is the first that the kernel takes when memory runs out', async () => {
    const { pid } = await jailed(program);
    expect(Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))).toBe(800);
  });

  it('leaves its spawner where it was', async () => {
    const { parent } = await jailed(program);
    for (const kind of ['mnt', 'net', 'ipc', 'uts', 'user', 'pid'])
      expect({ kind, own: ownNamespace(parent.pid as number, kind) }).toEqual({ kind, own: false });
    expect(readdirSync(`/proc/${parent.pid}/root/`)).not.toEqual([]);
  });

  it('ends with its spawner, whatever ends that', async () => {
    const { parent, pid } = await jailed(program);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false));
  });
});

/** Whether the process runs; one that nobody has collected yet does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('a jail that the host forbids in part', () => {
  const noNamespaces = spawnSync('unshare', ['--user', '--map-root-user', 'true']).status !== 0;

  it.skipIf(noNamespaces)(
    `names each layer that is missing${noNamespaces ? ' (needs user namespaces)' : ''}`,
    () => {
      // In a user namespace that may have no others below it, nor any namespace of another kind.
      const limits = ['user', 'mnt', 'net', 'ipc', 'uts', 'pid'].map(
        (kind) => `echo 0 > /proc/sys/user/max_${kind}_namespaces`,
      );
      const check = spawnSync(
        'unshare',
        ['--user', '--map-root-user', 'sh', '-c', `${limits.join(' && ')} && exec ${BUILT}`],
        { encoding: 'utf8' },
      );
      expect(check.stderr).toBe('');
      const lines = check.stdout.trim().split('\n');
      for (const kind of ['pid', 'mount', 'net', 'ipc', 'uts', 'user'])
        expect(lines).toContainEqual(
          expect.stringMatching(new RegExp(`^${kind}-namespace refused .*not allowed by this host`)),
        );
      for (const layer of ['descriptors', 'no-capabilities', 'no-new-privileges', 'not-dumpable', 'seccomp'])
        expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^${layer} in-place `)));
    },
  );

  it('is refused whole when something unknown is inherited in the place of a known descriptor', () => {
    const check = spawnSync(BUILT, ['--inside', '0'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(check.status).toBe(70);
  });
});
