import type { TypedValue } from '@mayfly/contracts';
import { type CallReport, loadSandbox, type Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmOrReason } from './support/guest.js';
import { buildRust, NEEDS_CARGO, RUST_BUILD_TIMEOUT_MS, rustBinary, rustReason } from './support/rust.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());
const skipped = reason || rustReason();

const int = (value: number): TypedValue => ({ type: 'int', value });
const double = (value: number): TypedValue => ({ type: 'double', value });
const text = (value: string): TypedValue => ({ type: 'string', value });

async function start(name: 'rust-example' | 'rust-traced'): Promise<Sandbox | undefined> {
  if (!driver) return undefined;
  const loaded = await loadSandbox(driver, rustBinary(name), { logLevel: 'warn' });
  loaded.registerHostFunction(
    'HostAdd',
    { params: ['int', 'int'], returns: 'int' },
    (_ctx, a, b) => (a as number) + (b as number),
  );
  return await loaded.evolve();
}

describe.skipIf(skipped)(
  `a guest on the upstream Rust SDK, built for ring 0${skipped && `: ${skipped}`} ${NEEDS_CARGO}`,
  () => {
    beforeAll(buildRust, RUST_BUILD_TIMEOUT_MS);

    // Both builds do the same work; the second one tells of it besides.
    describe.each(['rust-example', 'rust-traced'] as const)('%s', (name) => {
      let sandbox: Sandbox;
      beforeAll(async () => {
        const started = await start(name);
        if (started) sandbox = started;
      });
      afterAll(() => sandbox?.close());

      const invoke = (entrypoint: string, args: TypedValue[], returns: TypedValue['type']) =>
        sandbox.invoke(entrypoint, args, returns, { timeoutMs: 10_000 });

      test.each<[string, TypedValue[], TypedValue]>([
        ['Echo', [text('Zoë ☃')], text('Zoë ☃')],
        ['Echo', [text('x'.repeat(100_000))], text('x'.repeat(100_000))],
        ['Add', [int(2 ** 31 - 1), int(1)], int(-(2 ** 31))],
        ['Hypotenuse', [double(3), double(4)], double(5)],
        ['Half', [{ type: 'float', value: 3 }], { type: 'float', value: 1.5 }],
        [
          'Reverse',
          [{ type: 'bytes', value: Uint8Array.of(1, 2, 3) }],
          { type: 'bytes', value: Uint8Array.of(3, 2, 1) },
        ],
        ['SumOnHeap', [{ type: 'uint', value: 10_000 }], { type: 'ulong', value: 49_995_000n }],
        ['DoubleOnHost', [int(20), int(1)], int(42)],
        ['Divide', [int(-7), int(2)], { type: 'long', value: -3n }],
        ['Nest', [int(5)], int(5)],
      ])('%s answers', async (entrypoint, args, expected) => {
        const { value, detail } = await invoke(entrypoint, args, expected.type);
        expect(value, detail?.message).toEqual(expected);
      });

      test('starts its calls from a warm snapshot, in one exit', async () => {
        expect(sandbox.warm).toBe(true);
        expect((await invoke('Echo', [text('x')], 'string')).exits).toBe(1);
      });

      test.each<[string, TypedValue[], TypedValue['type'], Partial<CallReport>]>([
        [
          'Panic',
          [text('oh no')],
          'int',
          {
            outcome: 'aborted',
            detail: { message: expect.stringMatching(/^panicked at .*\noh no$/), guestCode: 8 } as never,
          },
        ],
        ['Overflow', [], 'ulong', { outcome: 'stack-overflow' }],
        ['ExhaustHeap', [], 'int', { outcome: 'out-of-memory' }],
        [
          'Divide',
          [int(1), int(0)],
          'long',
          { outcome: 'aborted', detail: { guestCode: 15, vector: 'DivideByZero' } as never },
        ],
        [
          'Missing',
          [],
          'int',
          { outcome: 'guest-error', detail: { guestCode: 4, message: 'Missing' } as never },
        ],
        ['Add', [int(1)], 'int', { outcome: 'guest-error', detail: { guestCode: 5 } as never }],
      ])('%s fails by its name, and the next call is well', async (entrypoint, args, returns, expected) => {
        expect(await invoke(entrypoint, args, returns)).toMatchObject(expected);
        expect((await invoke('Add', [int(1), int(2)], 'int')).value).toEqual(int(3));
      });

      test('keeps its state between calls that ask for it', async () => {
        const own = await start(name);
        for (let call = 0; call < 3; call++)
          expect((await own?.call('Echo', [text(`call ${call}`)], 'string'))?.value).toEqual(
            text(`call ${call}`),
          );
        await own?.close();
      });
    });

    test('a log record arrives', async () => {
      const sandbox = await start('rust-example');
      const report = await sandbox?.invoke('Log', [text('careful')], 'void');
      expect(report?.logs).toMatchObject([{ level: 'warn', message: 'careful', source: 'rust_example' }]);
      await sandbox?.close();
    });

    describe('built with trace_guest', () => {
      let sandbox: Sandbox;
      beforeAll(async () => {
        const started = await start('rust-traced');
        if (started) sandbox = started;
      });
      afterAll(() => sandbox?.close());

      type Traced = Required<Pick<CallReport, 'trace'>> & CallReport;
      const path = ({ trace }: Traced, index: number | undefined): string[] => {
        const span = index === undefined ? undefined : trace.spans[index];
        return span ? [...path({ trace } as Traced, span.parent), span.name] : [];
      };

      // From the warm snapshot, and from the plain entry of a call that keeps its state.
      test.each(['invoke', 'call'] as const)('tells of its work (%s)', async (how) => {
        const own = await start('rust-traced');
        const report = (await own?.[how]('DoubleOnHost', [int(20), int(1)], 'int', {
          trace: true,
        })) as Traced;
        expect(report.value).toEqual(int(42));
        const { spans, hostCalls, dropped } = report.trace;
        expect(spans[0]).toMatchObject({ name: 'dispatch_function', closed: true });
        expect(spans[0]).not.toHaveProperty('parent');
        const ownSpan = spans.find(({ name }) => name === 'double_on_host');
        expect(ownSpan).toMatchObject({ target: 'rust_example', closed: true });
        expect(hostCalls).toMatchObject([{ name: 'HostAdd', ok: true }]);
        expect(path(report, hostCalls[0]?.parent)).toContain('double_on_host');
        const around = spans[hostCalls[0]?.parent ?? -1];
        expect(around?.startNs).toBeLessThanOrEqual(hostCalls[0]?.startNs ?? -1);
        expect(around?.endNs).toBeGreaterThanOrEqual(hostCalls[0]?.endNs ?? Number.POSITIVE_INFINITY);
        for (const { startNs, endNs } of spans) {
          expect(startNs).toBeGreaterThanOrEqual(0);
          expect(endNs).toBeGreaterThanOrEqual(startNs);
        }
        expect(dropped).toEqual({ batches: 0, spans: 0, events: 0, hostCalls: 0, fields: 0 });
        await own?.close();
      });

      test('tells of spans inside spans with their fields, and of an event in the innermost', async () => {
        const report = (await sandbox.invoke('Nest', [int(3)], 'int', { trace: true })) as Traced;
        const steps = report.trace.spans.filter(({ name }) => name === 'step');
        expect(steps.map(({ fields }) => fields)).toEqual([
          [['depth', '3']],
          [['depth', '2']],
          [['depth', '1']],
        ]);
        const [event] = report.trace.events;
        expect(path(report, event?.parent).slice(-3)).toEqual(['step', 'step', 'step']);
        expect(Object.fromEntries(event?.fields ?? [])).toMatchObject({
          message: 'at the bottom',
          answer: '42',
        });
      });

      test('tells of more spans than its buffer holds', async () => {
        const report = (await sandbox.invoke('Nest', [int(100)], 'int', { trace: true })) as Traced;
        expect(report.trace.spans.filter(({ name }) => name === 'step')).toHaveLength(100);
      });

      test('its log records are events, inside the call that wrote them', async () => {
        const report = (await sandbox.invoke('Log', [text('careful')], 'void', { trace: true })) as Traced;
        expect(report.logs).toEqual([]);
        expect(report.trace.events).toHaveLength(1);
        expect(Object.fromEntries(report.trace.events[0]?.fields ?? [])).toMatchObject({ event: 'careful' });
      });

      test('costs no exit, and is not listened to unasked', async () => {
        const plain = await sandbox.invoke('Nest', [int(3)], 'int');
        const traced = await sandbox.invoke('Nest', [int(3)], 'int', { trace: true });
        expect(traced.exits).toBe(plain.exits);
        expect(plain).not.toHaveProperty('trace');
      });

      test('a panic leaves what was told before it', async () => {
        const report = (await sandbox.invoke('Panic', [text('oh no')], 'int', { trace: true })) as Traced;
        expect(report.outcome).toBe('aborted');
        expect(report.trace.spans.map(({ name }) => name)).toContain('call_guest_function');
      });
    });
  },
);
