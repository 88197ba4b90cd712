import { existsSync } from 'node:fs';
import path from 'node:path';
import { fail, main, say } from './lib/console.mjs';
import { root, run } from './lib/exec.mjs';
import { setup } from './lib/setup.mjs';

const DEFAULT_KILLS = 1_000_000;

/** Kills at random points against short calls: none may be lost, none may reach another call. */
await main(async () => {
  const [count = String(DEFAULT_KILLS)] = process.argv.slice(2);
  if (!/^[1-9]\d*$/.test(count)) fail('stress [KILLS]: expected a whole number above 0.');
  if (!existsSync('/dev/kvm')) fail('The stress run needs /dev/kvm; npm run doctor says what to do.');
  await setup();
  const { code } = await run('make', ['-C', 'libs/native', 'build/stress-kills'], { allowFailure: true });
  if (code !== 0) fail('libs/native does not build build/stress-kills.');
  say(`\n${count} kills`);
  const stress = await run(path.join(root, 'libs/native/build/stress-kills'), [count], {
    show: true,
    allowFailure: true,
  });
  return stress.code;
});
