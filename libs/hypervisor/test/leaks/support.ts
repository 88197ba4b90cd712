import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished } from 'vitest';
import {
  createKvmDriver,
  type DriverExit,
  type DriverVm,
  type HypervisorDriver,
  Rights,
  type RunAnswer,
  type VmPlan,
} from '../../src/index.js';

/** A driver of this host for the tests of one file, or why there is none. */
export async function startKvm(): Promise<{ driver?: HypervisorDriver; skipped: string }> {
  try {
    const driver = await createKvmDriver({ slots: 1, spareShells: 0 });
    afterAll(() => driver.close());
    return { driver, skipped: '' };
  } catch (error) {
    return { skipped: ` (skipped: ${error instanceof Error ? error.message : String(error)})` };
  }
}

/** The machine code of AT&T assembly for address 0. */
export function assemble(text: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-leak-'));
  try {
    const [source, object, binary] = ['a.s', 'a.o', 'a.bin'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(source, `${text}\n`);
    execFileSync('as', ['-o', object, source]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, binary]);
    return readFileSync(binary);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const PLACE = {
  code: 0x10000,
  report: 0x20000,
  soiled: 0x21000,
  input: 0x30000,
  output: 0x38000,
  stack: 0x40000,
  stackTop: 0x42000,
  memoryBytes: 0x50000,
} as const;
const PAGE_BYTES = 0x1000;
const LONG_US = 10_000_000;
const SHORT_US = 3_000;

/** Page tables without a mapping: a guest that sees them adds what it wants. */
export const TABLES = { pointers: 0x1000, directory: 0x2000, spare: 0x3000, lengthBytes: 0x8000 } as const;

/** @param ring0 built for ring 0: has a virtual CPU, and page tables of its own below the code */
export function planOf(code: Uint8Array, ring0 = false): VmPlan {
  const { READ, WRITE, EXECUTE } = Rights;
  const region = (address: number, pages: number, rights: number = READ | WRITE) => ({
    address,
    lengthBytes: pages * PAGE_BYTES,
    rights,
  });
  return {
    memoryBytes: PLACE.memoryBytes,
    regions: [
      region(PLACE.code, 1, READ | WRITE | EXECUTE),
      region(PLACE.report, 2),
      region(PLACE.input, 1),
      region(PLACE.output, 1),
      region(PLACE.stack, 2),
    ],
    load: [
      { address: PLACE.code, bytes: code },
      { address: PLACE.output, bytes: words(8, 0) },
      ...(ring0
        ? [
            { address: 0, bytes: words(TABLES.pointers | 3, 0) },
            { address: TABLES.pointers, bytes: words(TABLES.directory | 3, 0) },
          ]
        : []),
    ],
    ...(ring0 && { ring0: { pageTablesBytes: TABLES.lengthBytes } }),
    outputBuffer: { address: PLACE.output, lengthBytes: PAGE_BYTES },
  };
}

/** 32-bit words, little endian. */
export function words(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}

/** How the call that leaves traces ends. */
export const ENDINGS = { halt: 0, exception: 1, deadline: 2 } as const;
export type Ending = keyof typeof ENDINGS;

export interface Leak {
  /** The first instruction of every call: reads the input and changes nothing that `capture` looks at. */
  readonly touch?: string;
  /** Stores the state under test from `base` on; changes none of it. */
  readonly capture: (base: number) => string;
  /** Changes that state. */
  readonly soil: string;
}

/** One program for each leak: every call captures, and one that is asked to soils, captures again, and ends. */
function programOf({ touch = `cmpl $1, ${PLACE.input}`, capture, soil }: Leak): Uint8Array {
  return assemble(`
      ${touch}
      ${capture(PLACE.report)}
      cmpl $1, ${PLACE.input}
      je soil
      hlt
    soil:
      # A first touch can take an exit that the guest does not see, and which may change what is under test.
      movb $0, ${PLACE.soiled}
      ${soil}
      ${capture(PLACE.soiled)}
      cmpl $1, ${PLACE.input + 4}
      je fault
      ja spin
      hlt
    fault: ud2
    spin: jmp spin`);
}

/** How a call begins, of which kind of guest: one built for CPL 3, or one built for ring 0. */
export const USER_STARTS = ['plain', 'warm'] as const;
export const RING0_STARTS = ['plain, built for ring 0', 'warm, built for ring 0'] as const;
export const STARTS = [...USER_STARTS, ...RING0_STARTS];
export type Start = (typeof STARTS)[number];

/** A VM with a base, whose calls start from it. */
export class LeakVm {
  readonly vm: DriverVm;
  readonly #start: Start;

  constructor(vm: DriverVm, start: Start) {
    this.vm = vm;
    this.#start = start;
  }

  static async create(driver: HypervisorDriver, code: Uint8Array, start: Start): Promise<LeakVm> {
    const vm = await driver.createVm(planOf(code, start.endsWith('ring 0')));
    onTestFinished(async () => {
      await vm.close();
    });
    await vm.snapshot();
    if (start.startsWith('warm'))
      expect(
        await vm.primeSnapshot?.({
          entry: ENTRY,
          untouched: [{ address: PLACE.input, lengthBytes: PAGE_BYTES }],
        }),
      ).toBeDefined();
    return new LeakVm(vm, start);
  }

  /** Restore and call. */
  async call(input: Uint8Array, deadlineUs = LONG_US): Promise<RunAnswer> {
    const answer = await this.vm.run({
      restore: true,
      writes: [{ address: PLACE.input, bytes: input }],
      startsCall: true,
      deadlineUs,
      ...(this.#start.startsWith('plain') && { entry: ENTRY }),
    });
    this.vm.endCall();
    return answer;
  }

  /** A call that only captures. */
  async show(): Promise<Buffer> {
    expect((await this.call(words(0, 0))).exit).toEqual({ kind: 'halt' });
    return Buffer.from(this.vm.read(PLACE.report, PAGE_BYTES));
  }

  /** A call that soils. @returns what it captured afterwards */
  async soil(ending: Ending): Promise<Buffer> {
    const answer = await this.call(words(1, ENDINGS[ending]), ending === 'deadline' ? SHORT_US : LONG_US);
    expect(answer.exit).toMatchObject(
      {
        halt: { kind: 'halt' },
        exception: { kind: 'exception', vector: 6 },
        deadline: { kind: 'cancelled', by: 'deadline' },
      }[ending],
    );
    return Buffer.from(this.vm.read(PLACE.soiled, PAGE_BYTES));
  }
}

const ENTRY = { rip: BigInt(PLACE.code), rsp: BigInt(PLACE.stackTop - 0x28) };

/** Fails when a call shows any of what the call before it left, whatever its end was, plain and warm. */
export async function expectNoLeak(driver: HypervisorDriver, leak: Leak, start: Start): Promise<void> {
  const vm = await LeakVm.create(driver, programOf(leak), start);
  const clean = await vm.show();
  for (const ending of Object.keys(ENDINGS) as Ending[]) {
    // What cannot be seen when it is there would prove nothing. Selectors of some hosts do not outlive an interrupt.
    let seen = false;
    for (let round = 0; round < 20 && !seen; round++)
      seen = Buffer.compare(await vm.soil(ending), clean) !== 0;
    expect(seen, `soiled, ${ending}`).toBe(true);
    expect(await vm.show(), `after ${ending}`).toEqual(clean);
  }
}

/** How a guest ends that executes `instructions` and then halts. */
export async function endOf(driver: HypervisorDriver, instructions: string): Promise<DriverExit> {
  const vm = await driver.createVm(planOf(assemble(`${instructions}\nhlt`)));
  try {
    return (await vm.run({ entry: ENTRY, deadlineUs: LONG_US })).exit;
  } finally {
    await vm.close();
  }
}
