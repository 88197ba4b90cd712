import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fail, main, say } from './lib/console.mjs';
import { root } from './lib/exec.mjs';
import { setup } from './lib/setup.mjs';

/** Faults of every kind against real processes, and whether what was promised held (docs/operations.md). */
await main(async () => {
  if (!existsSync('/dev/kvm')) fail('The drill needs /dev/kvm; npm run doctor says what to do.');
  await setup({ programs: ['redis-server'] });
  say('');
  const child = spawn(process.execPath, ['test/drill/dist/drill/src/main.js', ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
});
