import { describe, expect, test } from 'vitest';
import type { RunAnswer } from '../src/driver.js';
import { encodeTraceBatch, type TraceBatchEntry } from '../src/testing.js';
import { decodeCapped } from '../src/trace/capped-utf8.js';
import { TraceCollector } from '../src/trace/trace-collector.js';
import { TRACE_LIMITS } from '../src/trace/types.js';

/** A run from 5000 ns to 6000 ns, in which the guest's counter goes from 100 to 300. */
const RUN = { enteredNs: 5000, leftNs: 6000, enteredTsc: 100n, leftTsc: 300n };
const run = (clock = RUN, tracesDropped = 0) => ({ clock, tracesDropped }) as unknown as RunAnswer;

function collected(...batches: (readonly TraceBatchEntry[])[]) {
  const collector = new TraceCollector();
  collector.addRun(run());
  for (const batch of batches) collector.addBatch(encodeTraceBatch(batch));
  return collector.finish();
}

const open = (id: bigint, more: { parent?: bigint; tsc?: bigint; name?: string } = {}): TraceBatchEntry => ({
  kind: 'open',
  id,
  name: `span ${id}`,
  target: 'guest',
  tsc: 150n,
  ...more,
});
const close = (id: bigint, tsc = 200n): TraceBatchEntry => ({ kind: 'close', id, tsc });
const event = (parent: bigint, tsc = 150n): TraceBatchEntry => ({
  kind: 'event',
  parent,
  name: 'event',
  tsc,
});

describe('the spans of a call', () => {
  test('are nested, and mapped to the time of the host', () => {
    const trace = collected([
      open(1n, { tsc: 120n }),
      {
        kind: 'open',
        id: 2n,
        parent: 1n,
        name: 'inner',
        target: 'guest::part',
        tsc: 140n,
        fields: [['depth', '2']],
      },
      { kind: 'event', parent: 2n, name: 'hit', tsc: 160n, fields: [['answer', '42']] },
      close(2n, 180n),
      close(1n, 200n),
    ]);
    expect(trace.spans).toEqual([
      { name: 'span 1', target: 'guest', startNs: 100, endNs: 500, closed: true, fields: [] },
      {
        name: 'inner',
        target: 'guest::part',
        parent: 0,
        startNs: 200,
        endNs: 400,
        closed: true,
        fields: [['depth', '2']],
      },
    ]);
    expect(trace.events).toEqual([{ name: 'hit', parent: 1, timeNs: 300, fields: [['answer', '42']] }]);
    expect(trace.dropped).toEqual({ batches: 0, spans: 0, events: 0, hostCalls: 0, fields: 0 });
  });

  test('go on over several batches and runs, each on its own clock', () => {
    const collector = new TraceCollector();
    collector.addRun(run());
    collector.addBatch(encodeTraceBatch([open(1n, { tsc: 200n })]));
    collector.addRun(run({ enteredNs: 9000, leftNs: 9100, enteredTsc: 1000n, leftTsc: 1200n }));
    collector.addBatch(
      encodeTraceBatch([open(2n, { parent: 1n, tsc: 1100n }), close(2n, 1150n), close(1n, 1200n)]),
    );
    expect(collector.finish().spans).toMatchObject([
      { startNs: 500, endNs: 4100 },
      { startNs: 4050, endNs: 4075, parent: 0 },
    ]);
  });

  test('that are open at the end end with the call', () => {
    expect(collected([open(1n)]).spans).toMatchObject([{ startNs: 250, endNs: 1000, closed: false }]);
  });

  test('have no parent where the guest names one that it never opened, or the span itself', () => {
    const { spans, events } = collected([
      open(1n, { parent: 7n }),
      open(2n, { parent: 2n }),
      open(3n, { parent: 0n }),
      event(9n),
    ]);
    for (const span of spans) expect(span).not.toHaveProperty('parent');
    expect(events[0]).not.toHaveProperty('parent');
  });

  test('stay within the time of the call, whatever the guest says of its clock', () => {
    const max = 2n ** 64n - 1n;
    const { spans, events } = collected([
      open(1n, { tsc: 0n }),
      close(1n, max),
      open(2n, { tsc: max }),
      close(2n, 0n),
      event(1n, 0n),
      event(1n, max),
    ]);
    expect(spans).toMatchObject([
      { startNs: 0, endNs: 1000 },
      { startNs: 1000, endNs: 1000 },
    ]);
    expect(events.map(({ timeNs }) => timeNs)).toEqual([0, 1000]);
  });

  test('count from a first entry that has a date', () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const collector = new TraceCollector();
    const now = Number(process.hrtime.bigint());
    collector.addRun(run({ ...RUN, enteredNs: now, leftNs: now + 1000 }));
    const { enteredUnixNs } = collector.finish();
    // Clocks of one process may differ by what the system corrected since it started.
    expect(Number(enteredUnixNs - before) / 1e9).toBeCloseTo(0, 0);
  });

  test('are none of a clock that runs backwards or is no number', () => {
    const collector = new TraceCollector();
    for (const [enteredNs, leftNs] of [
      [Number.NaN, 1],
      [10, 9],
      [0, Number.POSITIVE_INFINITY],
      [-5, -1],
    ] as const)
      collector.addRun(run({ ...RUN, enteredNs, leftNs }));
    collector.addBatch(encodeTraceBatch([open(1n)]));
    expect(collector.finish().spans).toMatchObject([{ startNs: 0, endNs: 0 }]);
  });
});

describe('hostile batches', () => {
  const total = (count: number, entry: (index: number) => TraceBatchEntry) =>
    Array.from({ length: Math.ceil(count / 100) }, (_value, batch) =>
      Array.from({ length: 100 }, (_entry, index) => entry(batch * 100 + index)),
    );

  test('with too many spans or events keep the first, and count the rest', () => {
    const spans = collected(...total(1100, (index) => open(BigInt(index + 1))));
    expect(spans.spans).toHaveLength(TRACE_LIMITS.spans);
    expect(spans.dropped.spans).toBe(100);
    const events = collected(...total(2100, (index) => event(0n, BigInt(index))));
    expect(events.events).toHaveLength(TRACE_LIMITS.events);
    expect(events.dropped.events).toBe(100);
  });

  test('that open a span twice keep the first', () => {
    const { spans, dropped } = collected([open(1n), open(1n, { name: 'again' }), close(1n), open(1n)]);
    expect(spans.map(({ name }) => name)).toEqual(['span 1']);
    expect(dropped.spans).toBe(2);
  });

  test('that close what is not open change nothing', () => {
    const { spans } = collected([close(1n), open(1n), close(1n, 160n), close(1n, 300n)]);
    expect(spans).toMatchObject([{ endNs: 300 }]);
  });

  test('that come again as they were are taken once', () => {
    const batch = [open(1n), event(1n)];
    const { events, dropped } = collected(batch, batch);
    expect(events).toHaveLength(1);
    expect(dropped.spans).toBe(0);
  });

  test('with long texts and many fields are cut, and the fields that are left out are counted', () => {
    const fields = Array.from({ length: 40 }, (_value, index) => [`key ${index}`, '☃'.repeat(2000)] as const);
    const { spans, dropped } = collected([
      {
        kind: 'open',
        id: 1n,
        name: 'é'.repeat(500),
        target: 't'.repeat(500),
        tsc: 0n,
        fields: fields.slice(0, 4),
      },
      { kind: 'open', id: 2n, name: 'x', target: '', tsc: 0n, fields: fields.map(([key]) => [key, '']) },
    ]);
    expect(spans[0]?.name).toBe('é'.repeat(TRACE_LIMITS.nameLength));
    expect(spans[0]?.target).toHaveLength(TRACE_LIMITS.nameLength);
    expect(spans[0]?.fields[0]?.[1]).toBe('☃'.repeat(TRACE_LIMITS.valueLength));
    expect(spans[1]?.fields).toHaveLength(TRACE_LIMITS.fields);
    expect(dropped.fields).toBe(40 - TRACE_LIMITS.fields);
  });

  test('with more text than a call may bring keep their form without it', () => {
    const fields = Array.from({ length: 20 }, (_value, index) => [`${index}`, 'v'.repeat(1024)] as const);
    const { spans, dropped } = collected(
      ...Array.from({ length: 20 }, (_value, index): TraceBatchEntry[] => [
        { kind: 'open', id: BigInt(index + 1), name: 'n', target: 't', tsc: 0n, fields },
      ]),
    );
    expect(spans).toHaveLength(20);
    const length = spans
      .flatMap(({ name, target, fields }) => [name, target, ...fields.flat()])
      .reduce((sum, text) => sum + text.length, 0);
    expect(length).toBe(TRACE_LIMITS.textLength);
    expect(dropped.fields).toBeGreaterThan(100);
  });

  test('that bring entries without end are read up to a number', () => {
    const trace = collected(
      ...Array.from({ length: 8 }, (_value, batch) =>
        Array.from({ length: 1000 }, (_entry, index) => close(BigInt(batch * 1000 + index))),
      ),
      [open(1n)],
    );
    expect(trace.spans).toEqual([]);
    expect(trace.dropped.batches).toBe(5);
  });

  test('that are malformed are counted; what they held before stays', () => {
    const good = encodeTraceBatch([open(1n)]);
    const collector = new TraceCollector();
    collector.addRun(run(RUN, 3));
    collector.addBatch(good);
    collector.addBatch(new Uint8Array(0));
    collector.addBatch(good.subarray(0, 20));
    collector.addBatch(good.map((byte, index) => (index > 8 ? 0xff : byte)));
    const { spans, dropped } = collector.finish();
    expect(spans).toHaveLength(1);
    expect(dropped.batches).toBe(6);
  });

  test('with a span whose fields are malformed do not open it', () => {
    const bytes = encodeTraceBatch([
      { kind: 'open', id: 1n, name: 'n', target: 't', tsc: 0n, fields: [['key', 'value']] },
    ]);
    // The length of the text `value`.
    bytes[Buffer.from(bytes).indexOf('value') - 1] = 0xff;
    const collector = new TraceCollector();
    collector.addRun(run());
    collector.addBatch(bytes);
    const { spans, dropped } = collector.finish();
    expect(spans).toEqual([]);
    expect(dropped.batches).toBe(1);
  });

  test('beyond the number and size that a call may bring are not read', () => {
    const collector = new TraceCollector();
    collector.addRun(run());
    const large = new Uint8Array(TRACE_LIMITS.batchBytes + 1);
    large.set(encodeTraceBatch([open(1n)]));
    collector.addBatch(large);
    for (let index = 0; index < TRACE_LIMITS.batches; index++)
      collector.addBatch(encodeTraceBatch([close(BigInt(index))]));
    const { spans, dropped } = collector.finish();
    expect(spans).toEqual([]);
    expect(dropped.batches).toBe(2);
  });
});

describe('host calls', () => {
  test('stand inside the innermost span that is open', () => {
    const collector = new TraceCollector();
    collector.addRun(run());
    collector.addHostCall('Early', true);
    collector.addBatch(
      encodeTraceBatch([open(1n), open(2n, { parent: 1n }), open(3n, { parent: 2n }), close(3n)]),
    );
    collector.addHostCall('Inner', false);
    expect(collector.finish().hostCalls).toEqual([
      { name: 'Early', startNs: 1000, endNs: expect.any(Number), ok: true },
      { name: 'Inner', parent: 1, startNs: 1000, endNs: expect.any(Number), ok: false },
    ]);
  });

  test('beyond the cap are counted', () => {
    const collector = new TraceCollector();
    collector.addRun(run());
    for (let index = 0; index < TRACE_LIMITS.hostCalls + 5; index++) collector.addHostCall('Again', true);
    const { hostCalls, dropped } = collector.finish();
    expect(hostCalls).toHaveLength(TRACE_LIMITS.hostCalls);
    expect(dropped.hostCalls).toBe(5);
  });
});

test('a cut text ends with a whole character', () => {
  expect(decodeCapped(Buffer.from('a🪰b'), 2)).toBe('a');
  expect(decodeCapped(Buffer.from('a🪰b'), 3)).toBe('a🪰');
  expect(decodeCapped(Buffer.from('☃☃☃'), 2)).toBe('☃☃');
  expect(decodeCapped(Uint8Array.of(0xff, 0x41), 5)).toBe('\ufffdA');
});
