import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const noKvm = (() => {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return '';
  } catch {
    return ' (skipped: /dev/kvm cannot be used)';
  }
})();

/** Runs a child to its end. One that hangs is killed, and shows as its signal. */
async function runChild(name: string, nodeArguments: string[] = []) {
  const script = fileURLToPath(new URL(`./children/${name}.mjs`, import.meta.url));
  const child = spawn(process.execPath, [...nodeArguments, script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const watchdog = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(watchdog);
  return { code, signal, stdout, stderr };
}

describe.skipIf(noKvm !== '')(`processes with the addon${noKvm}`, () => {
  it.each([
    ['closes all and exits by itself', 'natural-exit'],
    ['exits by itself without closing', 'exit-without-close'],
    ['leaves by process.exit while guests run', 'process-exit'],
    ['terminates workers while their guests run', 'worker-terminate'],
    ['lets a worker end beside a driver that goes on', 'worker-exit'],
    ['closes everything twice', 'double-close'],
    ['closes while guests run', 'close-during-run'],
    ['spawns children while a VM lives', 'spawn-during-run'],
  ])('%s', async (_behaviour, name) => {
    expect(await runChild(name)).toEqual({ code: 0, signal: null, stdout: 'ok\n', stderr: '' });
  });

  it('frees what is collected', async () => {
    expect(await runChild('gc', ['--expose-gc'])).toEqual({
      code: 0,
      signal: null,
      stdout: 'ok\n',
      stderr: '',
    });
  });

  it('dies of an uncaught error as any process does, while a guest runs', async () => {
    const { code, signal, stdout, stderr } = await runChild('throw');
    expect({ code, signal, stdout }).toEqual({ code: 1, signal: null, stdout: 'ok\n' });
    expect(stderr).toContain('nobody catches this');
  });
});
