import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort, kvmWorks, root } from '../helpers/mayfly.js';

/** A command of `package.json`, as a newcomer runs it. */
async function command(script: string, args: readonly string[]) {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'mf-cmd-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const port = await freePort();
  const child = spawn(process.execPath, [path.join(root, 'scripts', script), ...args], {
    env: { ...process.env, MAYFLY_DATA_DIR: dataDir, MAYFLY_PORT: `${port}`, MAYFLY_REDIS_URL: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return { child, port, exited, output: () => output };
}

const processesIn = (output: string) =>
  [...output.matchAll(/^(?:redis|worker|gateway)\s+process (\d+)$/gm)].map((match) => match[1]);

describe.skipIf(!kvmWorks)('npm start (needs /dev/kvm)', () => {
  it('demonstrates, drains and exits 0 with --exit, and leaves no process behind', async () => {
    const start = await command('start.mjs', ['--exit']);
    expect((await start.exited)[0], start.output()).toBe(0);
    expect(start.output()).toContain('Hello, newcomer!');
    expect(start.output()).toMatch(/Tenant key mf_[0-9a-f]{48}/);
    expect(start.output()).toContain('curl -s');
    const pids = processesIn(start.output());
    expect(pids).toHaveLength(3);
    for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBe(false);
  }, 120_000);

  it('stays up until Ctrl-C, then drains', async () => {
    const start = await command('start.mjs', []);
    await expect.poll(start.output, { timeout: 60_000 }).toContain('Mayfly is up');
    expect((await fetch(`http://127.0.0.1:${start.port}/readyz`)).status).toBe(200);
    start.child.kill('SIGINT');
    expect((await start.exited)[0], start.output()).toBe(0);
    for (const pid of processesIn(start.output())) expect(existsSync(`/proc/${pid}`)).toBe(false);
  }, 120_000);
});

describe('npm run doctor', () => {
  it('names what it found and how much is missing', async () => {
    const doctor = await command('doctor.mjs', []);
    const [code] = await doctor.exited;
    expect(doctor.output()).toMatch(/\d+ missing, \d+ warnings for a multi-tenant host/);
    expect(code).toBe(/\n0 missing/.test(doctor.output()) ? 0 : 1);
    if (kvmWorks) expect(doctor.output()).toMatch(/(hardware|software) KVM/);
  });
});
