import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { main, say } from './lib/console.mjs';
import { root, run } from './lib/exec.mjs';
import { setup } from './lib/setup.mjs';

await main(async () => {
  await setup();
  await run('make', ['-C', 'test/fuzz']);
  say('');
  const child = spawn(process.execPath, ['test/fuzz/dist/main.js', ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
});
