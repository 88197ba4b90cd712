import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmOrReason, startGuest } from './support/guest.js';

const run = promisify(execFile);

async function missingTool(): Promise<string> {
  for (const tool of ['rsvg-convert', 'zbarimg'])
    try {
      await run(tool, ['--version']);
    } catch {
      return `${tool} is not installed`;
    }
  return '';
}

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());
const skipped = reason || (await missingTool());

/** Text of `length` bytes that no run of equal characters makes easy. */
function words(length: number): string {
  return 'The mayfly lives for a day; its function lives for a call. '
    .repeat(Math.ceil(length / 59))
    .slice(0, length);
}

describe.skipIf(skipped)(`qr, read by zbarimg${skipped && ` (skipped: ${skipped})`}`, () => {
  let sandbox: Sandbox;
  let folder: string;

  beforeAll(async () => {
    if (driver) sandbox = await startGuest(driver, 'qr');
    folder = await mkdtemp(join(tmpdir(), 'mayfly-qr-'));
  });
  afterAll(async () => {
    await sandbox?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function svgOf(text: string): Promise<string> {
    const report = await sandbox.invoke('Qr', [{ type: 'string', value: text }], 'string');
    if (report.value?.type !== 'string') throw new TypeError(report.detail?.message ?? report.outcome);
    return report.value.value;
  }

  async function decoded(svg: string): Promise<string> {
    const [vector, image] = [join(folder, 'qr.svg'), join(folder, 'qr.png')];
    await writeFile(vector, svg);
    await run('rsvg-convert', ['--zoom', '6', '-o', image, vector]);
    const { stdout } = await run('zbarimg', ['--quiet', '--raw', '-Sdisable', '-Sqrcode.enable', image]);
    return stdout.replace(/\n$/, '');
  }

  // One length for each step in the making: block counts, version information, the wider length field, all masks.
  test.each([
    1, 14, 15, 26, 42, 62, 84, 106, 107, 122, 152, 180, 213, 251, 287, 331, 412, 504, 666, 911, 1370, 1862,
    2331,
  ])('a text of %i bytes comes back', async (length) => {
    const text = words(length);
    expect(await decoded(await svgOf(text))).toBe(text);
  });

  test.each([
    'https://example.org/?q=1&r=2',
    'naïve café',
    '日本語のテキスト',
    'emoji 🐛🪰 mixed',
    '0123456789',
  ])('%s comes back', async (text) => {
    expect(await decoded(await svgOf(text))).toBe(text);
  });

  test('the picture is an SVG with a white border of four modules', async () => {
    const svg = await svgOf('A');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 29 29"/);
    expect(svg).toContain('M4,4h7v1h-7z');
  });

  test('a text that no version holds is an error of the function', async () => {
    const report = await sandbox.invoke('Qr', [{ type: 'string', value: words(2332) }], 'string');
    expect(report.outcome).toBe('guest-error');
    expect(report.detail?.message).toContain('2331 bytes');
  });
});
