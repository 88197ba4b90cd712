import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createProcessDriver, type DriverVm, type ProcessDriver, type RunAnswer } from '@mayfly/hypervisor';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CODE, call, DATA, makeVm, noKvm, planOf, u64 } from './guest.js';

const NATIVE = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = path.join(NATIVE, 'build/malicious-cell');
const HIGHEST_CALL = 480;
const AT_ONCE = 6;
/** Of runs that end in another way, also on a busy machine. */
const LONG_US = 10_000_000;
/** Of runs that do not end. */
const SHORT_US = 50_000;
/** Attacks that the worker notices by nothing but the time. */
const SILENT = new Set(['hang', 'spin', 'close-socket', 'scribble']);
const deadlineOf = (name: string) => (SILENT.has(name) ? SHORT_US : LONG_US);
/** uretprobe, uprobe: the kernel lets them pass every filter and itself refuses who is not its trampoline. */
const PROBE_CALLS = new Set([335, 336]);

/** The tenant beside the attacker: an honest cell with a guest that stores its argument. */
let neighbour: ProcessDriver;
let neighboursVm: DriverVm;
const attackers: ProcessDriver[] = [];

beforeAll(async () => {
  execFileSync('make', ['-C', NATIVE, '-j2', 'malicious-cell'], { stdio: 'ignore' });
  if (noKvm !== undefined) return;
  neighbour = await createProcessDriver({ slots: 1, spareShells: 0, vms: 4 });
  neighboursVm = await makeVm(neighbour, 'storeAndHalt');
}, 120_000);
afterAll(() => neighbour?.close());
afterEach(async () => {
  await Promise.all(attackers.splice(0).map((driver) => driver.close()));
});

const codeOf = (error: unknown) =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);

interface Attacker {
  readonly driver: ProcessDriver;
  readonly vm: DriverVm;
}

/** A cell that has been taken over, with one VM, whose runs are the attack. */
async function attacker(script: string, onLog?: (text: string) => void): Promise<Attacker> {
  const driver = await createProcessDriver({
    executable: PROGRAM,
    slots: 1,
    spareShells: 0,
    vms: 2,
    graceMs: 50,
    ...(onLog && { onLog }),
  });
  attackers.push(driver);
  return { driver, vm: await driver.createVm(planFor(script)) };
}

function planFor(script: string) {
  const { outputBuffer: _, ...plan } = planOf('storeAndHalt');
  return { ...plan, load: [{ address: CODE, bytes: Buffer.from(script) }] };
}

/** Runs the attack once. What it came to: an answer, or the code of the error that ended it. */
async function attack({ vm }: Attacker, deadlineUs = LONG_US): Promise<RunAnswer | string> {
  return await call(vm, { deadlineUs }).catch(codeOf);
}

/** The other tenant, in the same worker, at the same time. */
async function neighbourIsWell(value: bigint) {
  const answer = await call(neighboursVm, { entry: { rip: BigInt(CODE), rsp: 0x2_0ff8n, rdi: value } });
  expect(answer.exit.kind).toBe('halt');
  expect(u64(neighboursVm.read(DATA, 8))).toBe(value);
  expect(neighbour.ended).toBeUndefined();
}

const PROTOCOL = 'MAYFLY_ERR_CELL_PROTOCOL';
const DIED = 'MAYFLY_ERR_CELL_DIED';
const HUNG = 'MAYFLY_ERR_CELL_HUNG';

/** An attack, and how its tenant's run ends. */
const ATTACKS: readonly (readonly [string, string])[] = [
  ['crash', DIED],
  ['exit', DIED],
  ['write-inbox-mapping', DIED],
  ['executable-memory', DIED],
  ['hang', HUNG],
  ['spin', HUNG],
  ['answer-older-generation', PROTOCOL],
  ['answer-seat-that-is-idle', PROTOCOL],
  ['answer-seat-that-is-none', PROTOCOL],
  ['answer-seat-far-away', PROTOCOL],
  ['answer-another-operation', PROTOCOL],
  ['answer-no-operation', PROTOCOL],
  ['answer-unknown-status', PROTOCOL],
  ['too-many-completions', PROTOCOL],
  ['more-memory-than-was-asked', PROTOCOL],
  ['exit-that-is-none', PROTOCOL],
  ['unknown-flags', PROTOCOL],
  ['port-that-is-none', PROTOCOL],
  ['vector-that-is-none', PROTOCOL],
  ['more-pages-than-there-are', PROTOCOL],
  ['outbox-beyond-its-end', PROTOCOL],
  ['outbox-of-too-many', PROTOCOL],
  ['outbox-entry-too-long', PROTOCOL],
  ['time-that-is-no-number', PROTOCOL],
  ['time-of-years', PROTOCOL],
  ['messages-without-end', PROTOCOL],
  ['message-unasked', PROTOCOL],
  ['hello-again', PROTOCOL],
  ['message-too-long', PROTOCOL],
  ['message-too-short', PROTOCOL],
  ['message-of-another-length', PROTOCOL],
];

describe.skipIf(noKvm !== undefined)(
  `a cell that was taken over${noKvm ? ` (skipped: ${noKvm})` : ''}`,
  () => {
    it('is jailed like any other', async () => {
      const { driver } = await attacker('');
      expect(driver.jail).toEqual(neighbour.jail);
    });

    it('serves a run when it does not attack, so that what the others show is their attack', async () => {
      const answer = await attack(await attacker(''));
      expect(answer).toMatchObject({ exit: { kind: 'halt' } });
    });

    it.each(ATTACKS)('%s: its run ends as %s, and its cell with it', async (name, code) => {
      const attacked = await attacker(name);
      const [ending] = await Promise.all([attack(attacked, deadlineOf(name)), neighbourIsWell(1n)]);
      expect(ending).toBe(code);
      expect(codeOf(attacked.driver.ended)).toBe(code);
      await attacked.driver.gone;
      await expect(call(attacked.vm).catch(codeOf)).resolves.toBe(code);
      await expect(attacked.driver.createVm(planFor('')).catch(codeOf)).resolves.toBe(code);
      await neighbourIsWell(2n);
    });

    it.each([
      // Its other thread still holds the socket, until the worker sends something.
      ['close-socket', [DIED, HUNG]],
      // Whichever is noticed first: that it rings for nothing, or that the run is late.
      ['ring-without-end', [PROTOCOL, HUNG]],
    ])('%s: its run ends as one of %s', async (name, codes) => {
      const attacked = await attacker(name);
      const [ending] = await Promise.all([attack(attacked, deadlineOf(name)), neighbourIsWell(1n)]);
      expect(codes).toContain(ending);
      await neighbourIsWell(2n);
    });

    it('answers twice: the first answer counts, the second ends the cell', async () => {
      const attacked = await attacker('answer-twice');
      expect(await attack(attacked)).toMatchObject({ exit: { kind: 'halt' } });
      await attacked.driver.gone;
      expect(codeOf(attacked.driver.ended)).toBe(PROTOCOL);
      await neighbourIsWell(3n);
    });

    it.each(['write-inbox', 'shrink-memory', 'wild-bells', 'text-without-end'])(
      '%s: changes nothing outside of the cell',
      async (name) => {
        const attacked = await attacker(name);
        expect(typeof (await attack(attacked))).toBe('object');
        await neighbourIsWell(4n);
      },
    );

    it('scribbles over all that it shares: the run ends with a named fault of the cell', async () => {
      for (let round = 0; round < 5; round++) {
        const attacked = await attacker('scribble');
        const [ending] = await Promise.all([attack(attacked, deadlineOf('scribble')), neighbourIsWell(5n)]);
        // The answer before the scribbling may have been taken.
        if (typeof ending === 'string') expect([PROTOCOL, HUNG]).toContain(ending);
        await Promise.race([attacked.driver.gone, attack(attacked, SHORT_US)]);
        expect([PROTOCOL, HUNG]).toContain(codeOf(attacked.driver.ended));
      }
      await neighbourIsWell(6n);
    });

    it('races the copy: each answer is whole and possible, or the cell ends', async () => {
      let answers = 0;
      for (let round = 0; round < 20; round++) {
        const attacked = await attacker('race-the-copy');
        for (let run = 0; run < 50; run++) {
          const ending = await attack(attacked);
          if (typeof ending === 'string') {
            expect(ending).toBe(PROTOCOL);
            break;
          }
          answers += 1;
          expect(ending.exit).toEqual({ kind: 'halt' });
          expect(ending.outbox).toEqual([]);
        }
        await attacked.driver.close();
        attackers.splice(0);
      }
      expect(answers).toBeGreaterThan(0);
      await neighbourIsWell(7n);
    });

    it('fills its log: what is kept of it is bounded, and its runs go on', async () => {
      let kept = 0;
      const attacked = await attacker('log-without-end', (text) => {
        kept += text.length;
      });
      for (let run = 0; run < 20; run++) {
        expect(typeof (await attack(attacked))).toBe('object');
        await neighbourIsWell(BigInt(run));
      }
      expect(kept).toBeGreaterThan(0);
      expect(kept).toBeLessThanOrEqual(64 * 1024);
    });

    it('says that a VM lives on a slot that it does not have: the VM is not made', async () => {
      await expect(attacker('create-on-no-slot').catch(codeOf)).resolves.toBe(PROTOCOL);
      await neighbourIsWell(8n);
    });

    it.each([
      ['read-without-answer', HUNG],
      ['read-of-another-length', PROTOCOL],
      ['read-of-another-seat', PROTOCOL],
      ['read-older-generation', PROTOCOL],
      ['read-unknown-status', PROTOCOL],
    ])('%s: reading its memory ends as %s', async (name, code) => {
      const { vm } = await attacker(name);
      expect(() => vm.read(DATA, 4096)).toThrow(expect.objectContaining({ code }));
      await neighbourIsWell(9n);
    });

    it.each([
      ['hello-without-report', PROTOCOL],
      ['hello-of-wild-numbers', PROTOCOL],
      ['hello-of-another-kind', PROTOCOL],
      ['hello-with-unknown-status', expect.stringMatching(/^MAYFLY_ERR_/)],
      ['hello-then-gone', DIED],
    ])('%s: its start fails as %s', async (name, code) => {
      const folder = mkdtempSync(path.join(tmpdir(), 'mayfly-malicious-'));
      const executable = path.join(folder, name);
      copyFileSync(PROGRAM, executable);
      const start = createProcessDriver({ executable, slots: 1, vms: 2 }).catch(codeOf);
      await expect(start).resolves.toEqual(code);
      rmSync(folder, { recursive: true });
      await neighbourIsWell(10n);
    });
  },
);

/** What a slot's thread may do, as the native code has it. */
const lists = spawnSync(path.join(NATIVE, 'build/mayfly-jail-check'), ['--lists'], {
  encoding: 'utf8',
}).stdout;

describe.skipIf(noKvm !== undefined)(
  `every system call from a slot's thread${noKvm ? ` (skipped: ${noKvm})` : ''}`,
  () => {
    it('ends its cell unless it is on the list', async () => {
      const listed = new Set([...lists.matchAll(/^call \S+ (\d+)$/gm)].map(([, number]) => Number(number)));
      expect(listed.size).toBeGreaterThan(5);
      await forEach(HIGHEST_CALL, async (number) => {
        if (PROBE_CALLS.has(number)) return;
        const ending = await attackOnce(`system-call ${number}`);
        // With arguments that are none, a call on the list may well end the cell, or keep it: by name, too.
        if (!listed.has(number)) expect({ number, ending }).toEqual({ number, ending: DIED });
        else if (typeof ending === 'string') expect([DIED, HUNG]).toContain(ending);
      });
      await neighbourIsWell(11n);
    }, 120_000);

    it('of KVM, with no number but those on the list', async () => {
      const listed = new Set(
        [...lists.matchAll(/^ioctl \S+ (0x[0-9a-f]{8})$/gm)].map(([, number]) => Number(number)),
      );
      expect(listed.size).toBeGreaterThan(10);
      await forEach(255, async (low) => {
        const number = 0xae00 + low;
        const ending = await attackOnce(`ioctl ${number}`);
        if (listed.has(number)) expect(ending).toMatchObject({ exit: { kind: 'halt' } });
        else expect({ number, ending }).toEqual({ number, ending: DIED });
      });
      await neighbourIsWell(12n);
    }, 120_000);
  },
);

/** Of a new cell, which is gone afterwards. */
async function attackOnce(script: string): Promise<RunAnswer | string> {
  const attacked = await attacker(script);
  const ending = await attack(attacked);
  await attacked.driver.close();
  attackers.splice(attackers.indexOf(attacked.driver), 1);
  return ending;
}

/** For 0 to `most`, a few at a time. */
async function forEach(most: number, body: (number: number) => Promise<void>) {
  let next = 0;
  const work = async () => {
    while (next <= most) await body(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
