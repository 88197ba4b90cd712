import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, root, startMayfly } from '../helpers/mayfly.js';

const BUILD_TIMEOUT_MS = 300_000;

/** What guests of the C SDK do in ring 0, these do at any level: tables, segments, CR4, handlers of their own. */
describe.skipIf(!kvmWorks)('POST /invoke runs guests built for ring 0 (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  beforeAll(async () => {
    execFileSync('make', ['-C', path.join(root, 'guests'), '-j2', 'RING0=1'], { stdio: 'pipe' });
    mayfly = await startMayfly();
    for (const guest of ['echo', 'crash', 'privileged']) {
      const manifest = JSON.parse(readFileSync(path.join(root, `guests/build/ring0/${guest}.json`), 'utf8'));
      const answer = await mayfly.upload(`ring0/${guest}`, { name: guest, manifest });
      expect([200, 201], await answer.text()).toContain(answer.status);
    }
  }, BUILD_TIMEOUT_MS);
  afterAll(() => mayfly?.stop());

  const call = async (name: string, entrypoint: string, args: readonly unknown[] = []) => {
    const answer = await mayfly.invoke({ function: name, entrypoint, args });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };

  it('answers', async () => {
    expect(await call('echo', 'EchoString', ['Zoë ☃'])).toMatchObject({
      status: 200,
      body: { result: { type: 'string', value: 'Zoë ☃' } },
    });
    expect(await call('privileged', 'Lgdt')).toMatchObject({ status: 200, body: { result: { value: 1 } } });
  });

  it.each([
    ['DivideByZero', 'DivideByZero'],
    ['InvalidOpcode', 'InvalidOpcode'],
    ['WriteFar', 'PageFault'],
    ['Interrupt', 'GeneralProtectionFault'],
    ['SimdFault', 'SIMDFloatingPointException'],
  ])('%s ends in the handler of the guest itself', async (entrypoint, vector) => {
    expect(await call('crash', entrypoint)).toMatchObject({
      status: 502,
      body: {
        code: 'aborted',
        guestCode: 15,
        vector,
        detail: expect.stringContaining(`Exception: ${vector} | Exception vector: `),
      },
    });
  });

  it('refuses by name what is not done for a guest, and its neighbours go on', async () => {
    expect(await call('privileged', 'Wrmsr')).toMatchObject({
      status: 502,
      body: {
        code: 'exception',
        detail: expect.stringContaining('Unsupported privileged instruction wrmsr'),
      },
    });
    expect(await call('echo', 'EchoInt', [7])).toMatchObject({ body: { result: { value: 7 } } });
  });
});
