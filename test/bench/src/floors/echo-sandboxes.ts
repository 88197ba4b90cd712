import { readFile } from 'node:fs/promises';
import { createKvmDriver, loadSandbox, type Sandbox } from '@mayfly/hypervisor';

/** The same guest call that Mayfly makes, behind the floors: `echo`'s EchoString, restored before every call. */
export async function createEcho(
  elfFile: string,
  sandboxes: number,
): Promise<(text: string) => Promise<string>> {
  const driver = await createKvmDriver();
  const loaded = await loadSandbox(driver, await readFile(elfFile));
  const first = await loaded.evolve();
  const snapshot = await first.snapshot();
  const idle: Sandbox[] = [first];
  while (idle.length < sandboxes) idle.push(await snapshot.instantiate());
  const waiting: ((sandbox: Sandbox) => void)[] = [];

  return async (text) => {
    const sandbox = idle.pop() ?? (await new Promise<Sandbox>((resolve) => waiting.push(resolve)));
    try {
      const report = await sandbox.invoke('EchoString', [{ type: 'string', value: text }], 'string', {
        timeoutMs: 5000,
      });
      if (report.value?.type !== 'string') throw new TypeError(`echo ended in ${report.outcome}`);
      return report.value.value;
    } finally {
      const next = waiting.shift();
      if (next) next(sandbox);
      else idle.push(sandbox);
    }
  };
}
