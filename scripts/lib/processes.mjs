import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { which } from './exec.mjs';

/**
 * A child process with its output in a log file. It leads its own process group, so that Ctrl-C reaches only the
 * launcher, which then ends its children in order; should the launcher die, the kernel ends them.
 */
export function startProcess(name, command, args, { env = {}, logFolder, cwd }) {
  const logFile = path.join(logFolder, `${name}.log`);
  const log = openSync(logFile, 'a');
  const setpriv = which('setpriv');
  const [program, ...rest] = setpriv
    ? [setpriv, '--pdeathsig', 'TERM', command, ...args]
    : [command, ...args];
  const child = spawn(program, rest, {
    cwd,
    // Only who is given the key has it: the process that runs guests has no use for it.
    env: { ...process.env, MAYFLY_TENANT_KEY: undefined, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  return {
    name,
    pid: child.pid,
    exited,
    logTail: () => readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n'),
    /** SIGTERM, then SIGKILL after the grace. Resolves with how it ended. */
    async stop(graceMs) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      const result = await exited;
      clearTimeout(timer);
      return result;
    },
  };
}
