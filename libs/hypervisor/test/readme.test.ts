import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const built = [
  'guests/build/hello.elf',
  'libs/hypervisor/dist/index.js',
  'libs/native/build/mayfly.node',
].every((path) => existsSync(`${root}${path}`));
const kvm = existsSync('/dev/kvm');

test.skipIf(!built || !kvm)(
  `the example of the README runs${built && kvm ? '' : ' (skipped: no /dev/kvm, or addon and guests are not built)'}`,
  async () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    expect(example.trimEnd().split('\n').length).toBeLessThanOrEqual(20);
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', example], {
      cwd: root,
      timeout: 20_000,
    });
    expect(stdout).toMatch(/^succeeded Hello, Ada!\nrestore and run took [\d.]+ microseconds\n$/);
  },
);
