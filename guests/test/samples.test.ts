import type { Sandbox } from '@mayfly/hypervisor';
import { afterAll, describe, expect, test } from 'vitest';
import { kvmOrReason, startGuest } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
const open: Sandbox[] = [];
afterAll(async () => {
  for (const sandbox of open) await sandbox.close();
  await driver?.close();
});

async function start(name: string, options = {}): Promise<Sandbox> {
  if (!driver) throw new TypeError(reason);
  const sandbox = await startGuest(driver, name, options);
  open.push(sandbox);
  return sandbox;
}

const KIB = 1024;

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
}

describe.skipIf(!driver)(`guests through the library${reason && ` (skipped: ${reason})`}`, () => {
  test.each([0, 1, 7, 4096, 65_536, 1_000_000, 1024 * KIB - 128])(
    'echo sends %i bytes back',
    async (length) => {
      const echo = await start('echo');
      const value = pattern(length);
      const report = await echo.invoke('EchoBytes', [{ type: 'bytes', value }], 'bytes');
      expect(report.outcome).toBe('succeeded');
      expect(report.value?.type === 'bytes' && Buffer.compare(report.value.value, value)).toBe(0);
    },
  );

  test('echo fits the smallest memory there is', async () => {
    const echo = await start('echo', {
      memory: { heapBytes: 4 * KIB, stackBytes: 8 * KIB, inputBytes: 8 * KIB, outputBytes: 8 * KIB },
    });
    const value = pattern(8000);
    const report = await echo.invoke('EchoBytes', [{ type: 'bytes', value }], 'bytes');
    expect(report.value).toEqual({ type: 'bytes', value });
  });

  test('a result larger than the output buffer is an error of the function, and the next call is right', async () => {
    const echo = await start('echo', { memory: { inputBytes: 64 * KIB, outputBytes: 8 * KIB } });
    const report = await echo.call('EchoBytes', [{ type: 'bytes', value: pattern(10_000) }], 'bytes');
    expect(report.outcome).toBe('guest-error');
    expect(report.detail?.message).toMatch(/^Not enough space in shared output buffer/);
    expect((await echo.call('EchoInt', [{ type: 'int', value: 3 }], 'int')).value).toEqual({
      type: 'int',
      value: 3,
    });
  });

  test('an echo is one VM exit and dirties few pages', async () => {
    const echo = await start('echo');
    const reports = [];
    for (let i = 0; i < 10; i++)
      reports.push(await echo.invoke('EchoInt', [{ type: 'int', value: 3 }], 'int'));
    // A signal to the host's thread may add an exit to one of them.
    expect(Math.min(...reports.map(({ exits }) => exits))).toBe(1);
    expect(reports.at(-1)?.dirtyPages).toBeLessThanOrEqual(6);
  });

  test('thumbnail scales a picture down to 128 pixels', async () => {
    const thumbnail = await start('thumbnail');
    const [width, height] = [640, 320];
    const header = Buffer.from(`P6\n# a gradient\n${width} ${height}\n255\n`);
    const pixels = Buffer.alloc(width * height * 3);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        pixels.set([(x * 256) / width, (y * 256) / height, 128], (y * width + x) * 3);
    const body = Buffer.concat([header, pixels]);
    const report = await thumbnail.invoke('Thumbnail', [{ type: 'bytes', value: body }], 'bytes');
    if (report.value?.type !== 'bytes') throw new TypeError(report.detail?.message);
    const small = Buffer.from(report.value.value);
    const smallHeader = 'P6\n128 64\n255\n';
    expect(small.toString('latin1', 0, smallHeader.length)).toBe(smallHeader);
    expect(small.length).toBe(smallHeader.length + 128 * 64 * 3);
    // Each pixel is the mean of 5 by 5 of the gradient.
    expect([...small.subarray(smallHeader.length, smallHeader.length + 3)]).toEqual([0, 1, 128]);
    expect([...small.subarray(-3)]).toEqual([254, 253, 128]);
  });
});

describe.skipIf(!driver)(`what a guest leaves behind${reason && ` (skipped: ${reason})`}`, () => {
  const COUNTS = ['Count', 'CountEverywhere'] as const;

  test.each(COUNTS)('%s starts anew with every invoke and goes on with every call', async (entrypoint) => {
    const state = await start('state');
    const value = async (how: 'call' | 'invoke') => {
      const report = await state[how](entrypoint, [], 'int');
      return report.value?.type === 'int' ? report.value.value : report.outcome;
    };
    const step = (await value('invoke')) as number;
    expect([await value('invoke'), await value('call'), await value('call')]).toEqual([
      step,
      2 * step,
      3 * step,
    ]);
    expect(await value('invoke')).toBe(step);
  });

  test('registers that a call soiled are clean in the next, with and without a restore', async () => {
    const state = await start('state');
    const registers = async (how: 'call' | 'invoke') =>
      (await state[how]('ShowRegisters', [], 'string')).value;
    const clean = await registers('invoke');
    expect(clean).toEqual({ type: 'string', value: '1f80,37f,0,0,0,2' });
    for (const how of ['call', 'invoke'] as const) {
      expect((await state.invoke('SoilRegisters', [], 'int')).outcome).toBe('succeeded');
      expect(await registers(how)).toEqual(clean);
    }
  });

  test('bytes of an abort that was never ended do not show up in the next abort', async () => {
    const framing = await start('abort-framing');
    expect((await framing.call('ChangesItsMind', [], 'int')).value).toEqual({ type: 'int', value: 7 });
    const report = await framing.call('TerminatorInside', [], 'int');
    expect(report.detail).toMatchObject({ guestCode: 15, message: 'a' });
  });

  test('calls go on after each lie about a result, once the sandbox is restored', async () => {
    const lies = await start('result-lies');
    for (const entrypoint of [
      'InputOverwritten',
      'WholeBuffer',
      'TwoResults',
      'HeaderHuge',
      'PebOverwritten',
    ]) {
      await lies.call(entrypoint, [], 'int').catch(() => undefined);
      const report = await lies.invoke('Honest', [], 'int');
      expect(report.value, entrypoint).toEqual({ type: 'int', value: 1 });
    }
  });
});

describe.skipIf(!driver)(`output of guests${reason && ` (skipped: ${reason})`}`, () => {
  test.each([
    ['Print', [{ type: 'string', value: 'naïve ☃\n' }] as const, 'naïve ☃\n'],
    [
      'PrintFormatted',
      [
        { type: 'string', value: 'ab' },
        { type: 'int', value: 255 },
      ] as const,
      '<  255|ab    |0xff>\n',
    ],
    ['PrintBadBytes', [], 'a??(?'],
    // Pieces of 1000 bytes, cut between characters.
    ['Print', [{ type: 'string', value: '☃'.repeat(700) }] as const, '☃'.repeat(700)],
  ] as const)('%s prints', async (entrypoint, args, expected) => {
    const output = await start('output');
    const report = await output.invoke(entrypoint, args, 'int');
    expect(report.printed).toBe(expected);
  });

  test('log records carry level, text, caller, file and line', async () => {
    const output = await start('output', { logLevel: 'info' });
    const log = (level: number) =>
      output.invoke(
        'Log',
        [
          { type: 'int', value: level },
          { type: 'string', value: 'text ☃' },
        ],
        'int',
      );
    expect((await log(3)).logs).toMatchObject([
      { level: 'info', message: 'text ☃', caller: 'Log', sourceFile: 'output.c', line: 7 },
    ]);
    expect((await log(1)).logs).toMatchObject([{ level: 'error' }]);
    expect((await log(4)).logs).toEqual([]);
  });

  test('log text that is no UTF-8, or too long, arrives repaired and cut', async () => {
    const output = await start('output', { memory: { outputBytes: 64 * KIB } });
    expect((await output.invoke('LogBadBytes', [], 'int')).logs).toMatchObject([
      { message: 'a??(', sourceFile: '?.c' },
    ]);
    const [record] = (await output.invoke('LogHuge', [], 'int')).logs;
    expect(record?.message).toMatch(/^h+$/);
    expect(record?.message.length).toBeGreaterThan(60 * KIB);
  });

  test('a guest prints and logs while it initialises', async () => {
    const talks = await start('init-talks');
    expect((await talks.invoke('Ping', [], 'int')).value).toEqual({ type: 'int', value: 6 });
  });
});
