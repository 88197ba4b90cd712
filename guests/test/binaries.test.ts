import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkElf } from '@mayfly/hypervisor/elf';
import { describe, expect, test } from 'vitest';
import { guestBinary } from './support/guest.js';

const build = fileURLToPath(new URL('../build/', import.meta.url));
const names = readdirSync(build)
  .filter((name) => name.endsWith('.elf'))
  .map((name) => name.slice(0, -4));

function disassembly(name: string): string[] {
  return execFileSync('objdump', ['-d', '--no-show-raw-insn', `${build}${name}.elf`], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  }).split('\n');
}

// What guest-abi Appendix C.1 asks of a guest, so that the reference host takes it, too.
describe.each(names)('%s.elf', (name) => {
  test('is an image that the host accepts', () => {
    expect(checkElf(guestBinary(name)).entry).toBeGreaterThan(0);
  });

  test('has relative relocations only', () => {
    const text = execFileSync('readelf', ['-rW', `${build}${name}.elf`], { encoding: 'utf8' });
    const types = [...text.matchAll(/\bR_X86_64_\w+/g)].map(([type]) => type);
    expect(types.filter((type) => type !== 'R_X86_64_RELATIVE')).toEqual([]);
    expect(text).not.toMatch(/RELR|JMPREL|\.rela\.plt/);
  });

  test('halts at one place and uses no AVX', () => {
    const code = disassembly(name);
    // One more in the guest that tries each instruction of ring 0.
    const places = name === 'privileged' ? 2 : 1;
    expect(code.filter((line) => /\thlt\b/.test(line))).toHaveLength(places);
    expect(code.filter((line) => /%[yz]mm|\tv[a-z]+ps\b/.test(line))).toEqual([]);
  });
});
