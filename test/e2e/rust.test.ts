import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildRust,
  NEEDS_CARGO,
  RUST_BUILD_TIMEOUT_MS,
  rustManifest,
  rustReason,
} from '../../guests/test/support/rust.js';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

const reason = kvmWorks ? rustReason() : '/dev/kvm cannot be used';

describe.skipIf(reason)(
  `POST /invoke runs an upload on the upstream Rust SDK unmodified${reason && `: ${reason}`} ${NEEDS_CARGO}`,
  () => {
    let mayfly: Mayfly;
    beforeAll(async () => {
      buildRust();
      mayfly = await startMayfly();
      for (const name of ['rust-example', 'rust-traced']) {
        const manifest = rustManifest() as Record<string, unknown>;
        const answer = await mayfly.upload(`rust/${name}`, { name, manifest });
        expect([200, 201], await answer.text()).toContain(answer.status);
      }
    }, RUST_BUILD_TIMEOUT_MS);
    afterAll(() => mayfly?.stop());

    const call = async (name: string, entrypoint: string, args: readonly unknown[]) => {
      const answer = await mayfly.invoke({ function: name, entrypoint, args });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };

    describe.each(['rust-example', 'rust-traced'])('%s', (name) => {
      it.each([
        ['Echo', ['Zoë ☃'], 'Zoë ☃'],
        ['Add', [40, 2], 42],
        ['Hypotenuse', [3, 4], 5],
        ['Half', [3], 1.5],
        ['SumOnHeap', [1000], 499_500],
        ['Nest', [3], 3],
      ])('%s answers', async (entrypoint, args, value) => {
        const { status, body } = await call(name, entrypoint, args);
        expect(status, JSON.stringify(body)).toBe(200);
        expect(body['result']).toMatchObject({ value });
      });

      it.each([
        [
          'Panic',
          ['oh no'],
          { code: 'aborted', guestCode: 8, detail: expect.stringMatching(/panicked at .*\noh no/) },
        ],
        ['Overflow', [], { code: 'stack-overflow' }],
        ['ExhaustHeap', [], { code: 'out-of-memory' }],
        ['Divide', [1, 0], { code: 'aborted', vector: 'DivideByZero' }],
        // The manifest asks for no host function, so the guest gets an error of its own call.
        ['DoubleOnHost', [1, 2], { code: 'guest-error', detail: expect.stringContaining('HostAdd') }],
      ])('%s fails by its name', async (entrypoint, args, expected) => {
        const { status, body } = await call(name, entrypoint, args);
        expect(status).toBe(502);
        expect(body).toMatchObject(expected);
        expect((await call(name, 'Add', [1, 2])).body['result']).toMatchObject({ value: 3 });
      });
    });
  },
);
