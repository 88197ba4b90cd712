import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKvmDriver, createProcessDriver, type HypervisorDriver } from '@mayfly/hypervisor';
import { createFakeDriver, type FakeProgram } from '@mayfly/hypervisor/testing';
import { describe, expect, test } from 'vitest';
import { conformanceSuite } from './driver.js';
import { ALL_PROGRAMS } from './programs.js';

conformanceSuite({
  name: 'fake',
  start: async () => {
    let script: FakeProgram = () => ({ kind: 'halt' });
    return {
      driver: createFakeDriver({ program: () => script }),
      load: (program) => {
        script = program.script;
      },
    };
  },
  // Its VMs run side by side: none waits.
  lacks: ['revoke'],
});

conformanceSuite({
  name: 'kvm',
  start: async () => ({ driver: await createKvmDriver({ slots: 2 }), load: () => undefined }),
  skipReason: await absence(() => createKvmDriver({ slots: 1, spareShells: 0 })),
});

conformanceSuite({
  name: 'process',
  start: async () => ({ driver: await createProcessDriver({ slots: 2 }), load: () => undefined }),
  lacks: ['regions'],
  skipReason: await absence(() => createProcessDriver({ slots: 1, spareShells: 0 })),
});

/** Why there is no such driver here; `undefined` where there is one. */
async function absence(start: () => Promise<HypervisorDriver>): Promise<string | undefined> {
  try {
    await (await start()).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const assembler = spawnSync('as', ['--version']).error === undefined;

describe.skipIf(!assembler)(`the programs${assembler ? '' : ' (skipped: no assembler)'}`, () => {
  test.each(ALL_PROGRAMS.map((program) => [program.name, program] as const))(
    'the machine code of %s is what the assembler makes of its text',
    (_name, { instructions, code }) => {
      const folder = mkdtempSync(join(tmpdir(), 'mayfly-conformance-'));
      try {
        const [source, object, binary] = ['a.s', 'a.o', 'a.bin'].map((name) => join(folder, name)) as [
          string,
          string,
          string,
        ];
        writeFileSync(source, `${instructions.map(([asm]) => asm).join('\n')}\n`);
        execFileSync('as', ['-o', object, source]);
        execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, binary]);
        expect(readFileSync(binary)).toEqual(Buffer.from(code));
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
