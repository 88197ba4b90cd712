import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort, kvmWorks, root } from '../helpers/mayfly.js';
import { startRedis } from '../helpers/redis.js';

async function newDataDir(): Promise<string> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'mf-cmd-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

/** A command of `package.json`, as a newcomer runs it. */
async function command(
  script: string,
  args: readonly string[],
  place: { dataDir?: string; port?: number; redisUrl?: string } = {},
) {
  const { dataDir = await newDataDir(), port = await freePort(), redisUrl = '' } = place;
  const child = spawn(process.execPath, [path.join(root, 'scripts', script), ...args], {
    env: { ...process.env, MAYFLY_DATA_DIR: dataDir, MAYFLY_PORT: `${port}`, MAYFLY_REDIS_URL: redisUrl },
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

  it('prints the operator’s key on the first start, to the console alone, and never again', async () => {
    const dataDir = await newDataDir();
    const first = await command('start.mjs', ['--exit'], { dataDir });
    expect((await first.exited)[0], first.output()).toBe(0);
    const keys = first.output().match(/mfo_[0-9a-f]{12}_[0-9a-f]{48}/g) ?? [];
    expect(keys).toHaveLength(1);
    const logs = path.join(dataDir, 'logs');
    const texts = await Promise.all(
      (await readdir(logs)).map((file) => readFile(path.join(logs, file), 'utf8')),
    );
    expect(texts.join('').length).toBeGreaterThan(0);
    expect(texts.join('')).not.toContain(keys[0]?.slice(-48));
    const second = await command('start.mjs', ['--exit'], { dataDir });
    expect((await second.exited)[0], second.output()).toBe(0);
    expect(second.output()).not.toContain('mfo_');
  }, 240_000);

  it('stays up until Ctrl-C, then drains', async () => {
    const start = await command('start.mjs', []);
    await expect.poll(start.output, { timeout: 60_000 }).toContain('Mayfly is up');
    expect((await fetch(`http://127.0.0.1:${start.port}/readyz`)).status).toBe(200);
    const key = /mf_[0-9a-f]{48}/.exec(start.output())?.[0] ?? '-';
    const places = processesIn(start.output()).map(async (pid) => {
      const [args = '', env = ''] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')),
      );
      return { args: args.includes(key) || args.includes('redis+unix:'), env: env.includes(key) };
    });
    // Redis, worker, gateway: no secret in what every user of the host can see, the key only where it is checked.
    expect(await Promise.all(places)).toEqual([false, false, true].map((env) => ({ args: false, env })));
    start.child.kill('SIGINT');
    expect((await start.exited)[0], start.output()).toBe(0);
    for (const pid of processesIn(start.output())) expect(existsSync(`/proc/${pid}`)).toBe(false);
  }, 120_000);
});

describe('npm start beside what runs already', () => {
  const listening = async (where: { port: number } | { path: string }) => {
    const server = createServer().listen(where);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
  };

  it('refuses a port that somebody listens on, and shows nobody its key', async () => {
    const port = await freePort();
    await listening({ port });
    const start = await command('start.mjs', ['--exit'], { port });
    expect((await start.exited)[0]).toBe(1);
    expect(start.output()).toContain(`Port ${port} of 127.0.0.1 cannot be used (EADDRINUSE)`);
    expect(processesIn(start.output())).toEqual([]);
  }, 120_000);

  it('refuses a data directory whose Redis runs', async () => {
    const dataDir = await newDataDir();
    await mkdir(path.join(dataDir, 'run'), { mode: 0o700 });
    await listening({ path: path.join(dataDir, 'run/redis.sock') });
    const start = await command('start.mjs', ['--exit'], { dataDir });
    expect((await start.exited)[0]).toBe(1);
    expect(start.output()).toContain(`${dataDir} is in use by another Mayfly`);
    expect(processesIn(start.output())).toEqual([]);
  }, 120_000);

  it('refuses a folder for sockets that others can enter', async () => {
    const dataDir = await newDataDir();
    await mkdir(path.join(dataDir, 'run'));
    await chmod(path.join(dataDir, 'run'), 0o755);
    const start = await command('start.mjs', ['--exit'], { dataDir });
    expect((await start.exited)[0]).toBe(1);
    expect(start.output()).toContain('nobody else can enter');
    expect(processesIn(start.output())).toEqual([]);
  }, 120_000);
});

describe('npm run doctor', () => {
  it('asks the Redis that it is given, as a gateway may, for what a queue needs', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const doctor = await command('doctor.mjs', [], { redisUrl: redis.urls.gateway });
    await doctor.exited;
    expect(doctor.output()).toMatch(/ok\s+maxmemory_policy noeviction/);
    expect(doctor.output()).toMatch(/warning\s+aof_enabled 0/);
    expect(doctor.output()).toMatch(/warning\s+maxmemory 0/);
  });

  it('names what it found and how much is missing', async () => {
    const doctor = await command('doctor.mjs', []);
    const [code] = await doctor.exited;
    expect(doctor.output()).toMatch(/\d+ missing, \d+ warnings for a multi-tenant host/);
    expect(code).toBe(/\n0 missing/.test(doctor.output()) ? 0 : 1);
    if (kvmWorks) expect(doctor.output()).toMatch(/(hardware|software) KVM/);
  });
});
