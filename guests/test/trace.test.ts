import type { CallReport, GuestTrace, Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmOrReason, startGuest } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const NOTHING_DROPPED = { batches: 0, spans: 0, events: 0, hostCalls: 0, fields: 0 };

/** Each span as its name below the names of those around it. */
function paths({ spans }: GuestTrace): string[] {
  const path = (index: number): string => {
    const { name, parent } = spans[index] as GuestTrace['spans'][number];
    return parent === undefined ? name : `${path(parent)} > ${name}`;
  };
  return spans.map((_span, index) => path(index));
}

describe.skipIf(!driver)(`spans of the C SDK${reason && ` (skipped: ${reason})`}`, () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    if (driver) sandbox = await startGuest(driver, 'trace');
  });
  afterAll(() => sandbox?.close());

  async function traced(
    name: string,
    ...args: readonly (number | string)[]
  ): Promise<CallReport & { trace: GuestTrace }> {
    const report = await sandbox.invoke(
      name,
      args.map((value) => (typeof value === 'number' ? { type: 'int', value } : { type: 'string', value })),
      'int',
      { trace: true },
    );
    if (!report.trace) throw new TypeError('no trace');
    return { ...report, trace: report.trace };
  }

  test('nest as the calls of the guest do, with an event in the innermost, at no VM exit', async () => {
    const plain = await sandbox.invoke('Nest', [{ type: 'int', value: 3 }], 'int');
    const { trace, ...report } = await traced('Nest', 3);
    expect(report.value).toEqual({ type: 'int', value: 3 });
    expect(report.exits).toBe(plain.exits);
    expect(plain).not.toHaveProperty('trace');
    expect(paths(trace)).toEqual(['work', 'work > work', 'work > work > work']);
    expect(trace.spans.map(({ closed }) => closed)).toEqual([true, true, true]);
    expect(trace.spans[0]?.target).toContain('main.c');
    expect(trace.events).toEqual([{ name: 'bottom', parent: 2, timeNs: expect.any(Number), fields: [] }]);
    expect(trace.dropped).toEqual(NOTHING_DROPPED);
  });

  test('lie inside the spans around them, and inside the call', async () => {
    const { trace, phases } = await traced('Nest', 5);
    const times = trace.spans.map(({ startNs, endNs }) => [startNs, endNs] as const);
    const bottom = trace.events[0]?.timeNs ?? -1;
    expect(times.map(([startNs]) => startNs)).toEqual(
      times.map(([startNs]) => startNs).sort((a, b) => a - b),
    );
    expect(times.map(([, endNs]) => endNs)).toEqual(times.map(([, endNs]) => endNs).sort((a, b) => b - a));
    expect(bottom).toBeGreaterThanOrEqual(times.at(-1)?.[0] ?? 0);
    expect(bottom).toBeLessThanOrEqual(times.at(-1)?.[1] ?? 0);
    expect(times[0]?.[0]).toBeGreaterThanOrEqual(0);
    expect(times[0]?.[1]).toBeLessThanOrEqual(Math.ceil(phases.runUs * 1000));
  });

  test('hold the host calls that were made in them', async () => {
    const { trace, printed } = await traced('Host');
    expect(printed).toBe('inside');
    expect(paths(trace)).toEqual(['outer', 'outer > inner']);
    const [call] = trace.hostCalls;
    expect(trace.hostCalls).toHaveLength(1);
    expect(call).toMatchObject({ name: 'HostPrint', parent: 1, ok: true });
    const inner = trace.spans[1];
    expect(call?.startNs).toBeGreaterThanOrEqual(inner?.startNs ?? Number.NaN);
    expect(call?.endNs).toBeGreaterThanOrEqual(call?.startNs ?? Number.NaN);
    expect(inner?.endNs).toBeGreaterThanOrEqual(call?.endNs ?? Number.NaN);
    expect(trace.events).toMatchObject([{ name: 'after', parent: 0 }]);
  });

  test('that are more than a batch holds take an exit for each batch, and all arrive up to the cap', async () => {
    const { trace, exits } = await traced('Many', 900);
    expect(trace.spans).toHaveLength(900);
    expect(exits).toBeLessThan(30);
    expect(trace.dropped).toEqual(NOTHING_DROPPED);
    const beyond = await traced('Many', 1500);
    expect(beyond.value).toEqual({ type: 'int', value: 1500 });
    expect(beyond.trace.spans).toHaveLength(1000);
    // Some of the rest did not even fit the outbox.
    expect(beyond.trace.dropped.spans).toBeGreaterThan(0);
  });

  test('keep their fields, repaired where they are no UTF-8; what no batch holds is left out', async () => {
    const { trace, value } = await traced('Fields', 'Zoë ☃');
    expect(value).toEqual({ type: 'int', value: 1 });
    expect(trace.spans).toMatchObject([
      {
        name: 'with fields',
        fields: [
          ['text', 'Zoë ☃'],
          ['', ''],
        ],
      },
    ]);
    expect(trace.events).toMatchObject([{ name: 'event with fields', fields: [['text', 'Zoë ☃']] }]);
  });

  test('that the guest leaves open are closed with what is around them', async () => {
    const { trace } = await traced('LeaveOpen');
    expect(paths(trace)).toEqual(['first', 'first > second', 'first > second > third', 'first > fourth']);
    expect(trace.spans.every(({ closed }) => closed)).toBe(true);
  });

  test('arrive of a call that aborts', async () => {
    const { trace, ...report } = await traced('AbortInside');
    expect(report).toMatchObject({ outcome: 'aborted', detail: { message: 'inside a span' } });
    expect(paths(trace)).toEqual(['doomed']);
  });

  test('are kept down to a depth of 64', async () => {
    expect((await traced('Deep', 100)).trace.spans).toHaveLength(64);
  });

  test('are recorded only in the calls that are traced, also where the guest keeps its state', async () => {
    const own = driver && (await startGuest(driver, 'trace'));
    if (!own) return;
    const asked = async (trace: boolean) => (await own.call('Asked', [], 'bool', { trace })).value;
    expect(await asked(false)).toEqual({ type: 'bool', value: false });
    expect(await asked(true)).toEqual({ type: 'bool', value: true });
    expect(await asked(false)).toEqual({ type: 'bool', value: false });
    const nested = async () => {
      const { trace } = await own.call('Nest', [{ type: 'int', value: 2 }], 'int', { trace: true });
      return trace && paths(trace);
    };
    expect(await nested()).toEqual(['work', 'work > work']);
    expect(await nested()).toEqual(['work', 'work > work']);
    await own.close();
  });
});
