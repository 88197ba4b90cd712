import { request as httpRequest } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { asTheyFinish } from '../src/batches/as-they-finish.js';
import { type BatchLine, type LineLimits, readLines } from '../src/batches/read-lines.js';
import { workerOfFile } from './support/file-redis.js';
import { echo } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, TENANT_KEY, type TestGateway } from './support/test-gateway.js';

const file = workerOfFile();
/** First arguments of the calls that a worker ran. */
let ran: unknown[] = [];

async function gatewayWithEcho(): Promise<TestGateway> {
  ran = [];
  file.worker.script = (item, job) => {
    if (item.input.kind === 'args') ran.push(item.input.args[0]?.value);
    return echo(item, job);
  };
  await file.client.flushall();
  await file.worker.beat();
  const gateway = await startGateway({ redis: file.server });
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  return gateway;
}

const call = (value: number) => ({ entrypoint: 'echo-int', args: [value] });
const ndjson = (...calls: readonly unknown[]) => calls.map((one) => `${JSON.stringify(one)}\n`).join('');

function send(gateway: TestGateway, body: string, headers: Record<string, string> = {}) {
  return gateway.fetch('/v1/functions/echo/invoke-batch', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  });
}

interface Line {
  readonly index: number;
  readonly status: number;
  readonly outcome?: string;
  readonly invocationId?: string;
  readonly replayed?: boolean;
  readonly result?: { readonly value: unknown };
  readonly problem?: { readonly code: string; readonly errors?: unknown; readonly limit?: unknown };
}

async function linesOf(response: { text(): Promise<string> }): Promise<Line[]> {
  const lines = (await response.text()).split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => JSON.parse(line) as Line).sort((one, other) => one.index - other.index);
}

describe('POST /v1/functions/{fn}/invoke-batch', () => {
  it.each([
    ['application/x-ndjson', ndjson(call(1), call(2), call(3))],
    ['application/json', JSON.stringify([call(1), call(2), call(3)])],
  ])('answers %s with a line for each call', async (type, body) => {
    const gateway = await gatewayWithEcho();
    const response = await send(gateway, body, { 'content-type': type });
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    const lines = await linesOf(response);
    expect(lines).toEqual(
      [1, 2, 3].map((value, index) => ({
        index,
        status: 200,
        outcome: 'succeeded',
        invocationId: expect.stringMatching(/^inv_/),
        version: 1,
        result: { type: 'int', value },
      })),
    );
    const shown = await gateway.fetch(`/v1/invocations/${lines[1]?.invocationId}`);
    expect((await shown.json()).state).toBe('succeeded');
  });

  it('answers each call as it finishes, before the body has come as a whole', async () => {
    const gateway = await gatewayWithEcho();
    const request = httpRequest(`${gateway.url}/v1/functions/echo/invoke-batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TENANT_KEY}`, 'content-type': 'application/x-ndjson' },
    });
    onTestFinished(() => void request.destroy());
    request.write(ndjson(call(1)));
    const answer: AsyncIterable<Buffer> = await new Promise((resolve) => request.once('response', resolve));
    let text = '';
    for await (const chunk of answer) {
      text += chunk.toString();
      if (text.split('\n').length === 2) request.end(ndjson(call(2)));
    }
    expect(text.split('\n').map((line) => line && JSON.parse(line).index)).toEqual([0, 1, '']);
  });

  it('answers what is wrong with a call on its own line, and runs the others', async () => {
    const gateway = await gatewayWithEcho();
    file.worker.script = (item, job) =>
      item.input.kind === 'args' && item.input.args[0]?.value === 9
        ? { outcome: 'aborted', detail: { message: 'no' } }
        : echo(item, job);
    const body = [
      JSON.stringify(call(1)),
      '{"broken":',
      '',
      JSON.stringify({ ...call(2), odd: 1 }),
      JSON.stringify({ entrypoint: 'echo-int', args: ['x'] }),
      JSON.stringify(call(9)),
      '7',
      JSON.stringify({ ...call(3), version: 99 }),
      '\u00e9'.repeat(3),
      JSON.stringify(call(4)),
    ].join('\r\n');
    const lines = await linesOf(await send(gateway, body));
    const ends = lines.map(({ status, outcome, problem }) => [status, outcome ?? problem?.code]);
    expect(ends).toEqual([
      [200, 'succeeded'],
      [400, 'invalid-request'],
      [400, 'invalid-request'],
      [400, 'invalid-request'],
      [502, 'aborted'],
      [400, 'invalid-request'],
      [404, 'not-found'],
      [400, 'invalid-request'],
      [200, 'succeeded'],
    ]);
    expect(lines[2]?.problem?.errors).toEqual([{ pointer: '/odd', detail: 'there is no such field' }]);
  });

  it('takes no more than a batch may hold', async () => {
    const gateway = await gatewayWithEcho();
    const many = Array.from({ length: 1_001 }, (_, index) => call(index));
    const array = await send(gateway, JSON.stringify(many), { 'content-type': 'application/json' });
    expect([array.status, (await array.json()).limit]).toEqual([413, { name: 'batchItems', value: 1_000 }]);
    expect(ran).toEqual([]);
    const lines = await linesOf(await send(gateway, ndjson(...many)));
    expect(lines).toHaveLength(1_001);
    expect(lines.filter(({ status }) => status === 200)).toHaveLength(1_000);
    expect(lines.at(-1)?.problem).toMatchObject({ code: 'too-large', limit: { name: 'batchItems' } });
  });

  it('begins no further calls once its client has gone', async () => {
    const gateway = await gatewayWithEcho();
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    onTestFinished(() => open());
    file.worker.script = async (item, job) => {
      ran.push(item.invocationId);
      await opened;
      return echo(item, job) as object;
    };
    const controller = new AbortController();
    const gone = gateway.fetch('/v1/functions/echo/invoke-batch', {
      method: 'POST',
      body: ndjson(...Array.from({ length: 500 }, (_, index) => call(index))),
      headers: { 'content-type': 'application/x-ndjson' },
      signal: controller.signal,
    });
    gone.catch(() => undefined);
    await expect.poll(() => gateway.services.invoker.waiting).toBe(64);
    controller.abort();
    await gone.catch(() => undefined);
    open();
    await expect.poll(() => gateway.services.invoker.waiting).toBe(0);
    expect(ran.length).toBeLessThanOrEqual(128);
  });

  it.each([
    ['no function', '/v1/functions/none/invoke-batch', ndjson(call(1)), 'application/x-ndjson', 404],
    ['no array', '/v1/functions/echo/invoke-batch', '{}', 'application/json', 400],
    ['no JSON', '/v1/functions/echo/invoke-batch', '[', 'application/json', 400],
    ['another type', '/v1/functions/echo/invoke-batch', 'x', 'text/html', 415],
  ])('refuses %s as a whole', async (_what, path, body, type, status) => {
    const gateway = await gatewayWithEcho();
    const headers = { 'content-type': type };
    const response = await gateway.fetch(path, { method: 'POST', body, headers });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json; charset=utf-8',
    ]);
  });
});

describe('a batch with Prefer: respond-async', () => {
  const headers = { prefer: 'respond-async' };

  it('is accepted call by call, and shows how far it is', async () => {
    const gateway = await gatewayWithEcho();
    const response = await send(gateway, ndjson(call(1), { odd: 1 }, call(3)), headers);
    expect(response.status).toBe(202);
    const location = response.headers.get('location') ?? '';
    const body = (await response.json()) as unknown as { batchId: string; invocations: Line[] };
    expect(location).toBe(`/v1/batches/${body.batchId}`);
    expect(body.invocations.map(({ index, problem }) => [index, problem?.code])).toEqual([
      [0, undefined],
      [1, 'invalid-request'],
      [2, undefined],
    ]);
    const show = async () => (await gateway.fetch(location)).json() as Promise<unknown>;
    await expect.poll(show).toMatchObject({ done: true });
    expect(await show()).toMatchObject({ total: 2, refused: 1, pending: 0, counts: { succeeded: 2 } });
    expect(ran.toSorted()).toEqual([1, 3]);
    const [first] = body.invocations;
    await gateway.fetch(`/v1/invocations/${first?.invocationId}`, { method: 'DELETE' });
    expect(await show()).toMatchObject({ counts: { succeeded: 1, forgotten: 1 }, done: true });
  });

  it('is refused as its calls are when none of them is accepted', async () => {
    const gateway = await gatewayWithEcho();
    const wrong = await send(gateway, ndjson({ odd: 1 }, 7), headers);
    expect([wrong.status, (await wrong.json()).code]).toEqual([400, 'invalid-request']);
    expect((await send(gateway, '\n', headers)).status).toBe(400);
  });

  it('is not there for who asks for another', async () => {
    const gateway = await gatewayWithEcho();
    expect((await gateway.fetch(`/v1/batches/bat_${'0'.repeat(32)}`)).status).toBe(404);
  });
});

describe('a batch with an Idempotency-Key', () => {
  const KEY = { 'idempotency-key': 'night-7' };

  it('runs only what did not end when it comes again', async () => {
    const gateway = await gatewayWithEcho();
    const first = await linesOf(await send(gateway, ndjson(call(1), call(2)), KEY));
    const again = await linesOf(await send(gateway, ndjson(call(1), call(2), call(3)), KEY));
    expect(again.map(({ replayed }) => replayed)).toEqual([true, true, undefined]);
    expect(again.slice(0, 2)).toEqual(first.map((line) => ({ ...line, replayed: true })));
    expect(ran.toSorted()).toEqual([1, 2, 3]);
  });

  it('refuses a call that has changed', async () => {
    const gateway = await gatewayWithEcho();
    await send(gateway, ndjson(call(1), call(2)), KEY);
    const lines = await linesOf(await send(gateway, ndjson(call(1), call(5)), KEY));
    expect(lines.map(({ status, problem }) => [status, problem?.code])).toEqual([
      [200, undefined],
      [422, 'idempotency-key-reused'],
    ]);
  });

  it('is the same batch with the same invocations when it was accepted before', async () => {
    const gateway = await gatewayWithEcho();
    const headers = { ...KEY, prefer: 'respond-async' };
    const first = await send(gateway, ndjson(call(1), call(2)), headers);
    const again = await send(gateway, ndjson(call(1), call(2)), headers);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    type Body = { invocations: Line[] };
    const [one, two] = (await Promise.all([first.json(), again.json()])) as unknown as [Body, Body];
    expect(two.invocations).toEqual(one.invocations.map((item) => ({ ...item, replayed: true })));
  });
});

describe('lines of a batch', () => {
  const LIMITS: LineLimits = { items: 3, itemBytes: 10, bodyBytes: 60 };

  async function read(chunks: readonly (string | Buffer)[], limits = LIMITS): Promise<string[]> {
    async function* source() {
      for (const chunk of chunks) yield Buffer.from(chunk as string);
    }
    const lines: string[] = [];
    for await (const line of readLines(source(), limits)) lines.push(textOf(line));
    return lines;
  }

  const textOf = (line: BatchLine) =>
    'error' in line ? `! ${line.error.message}` : JSON.stringify(line.value);

  it.each([
    ['one chunk', ['1\n2\n3\n']],
    ['a byte each', [...'1\n2\n3\n']],
    ['no last newline', ['1\n2\n', '3']],
    ['blank lines', ['\n\r\n1\n \n2\n\n3\n\n']],
  ])('are read from %s', async (_what, chunks) => {
    expect(await read(chunks)).toEqual(['1', '2', '3']);
  });

  it('that are too long cost no other, whatever they are cut into', async () => {
    const long = `"${'x'.repeat(20)}"`;
    for (const chunks of [[`1\n${long}\n3\n`], [...`1\n${long}\n3\n`]])
      expect(await read(chunks)).toEqual(['1', '! more than batchItemBytes = 10', '3']);
    expect(await read([long])).toEqual(['! more than batchItemBytes = 10']);
  });

  it('end where there are too many, or too many bytes', async () => {
    expect(await read(['1\n2\n3\n4\n5\n'])).toEqual(['1', '2', '3', '! more than batchItems = 3']);
    expect(await read(['1\n2\n3\n4'])).toEqual(['1', '2', '3', '! more than batchItems = 3']);
    expect(await read(['1\n', 'x'.repeat(70), '\n3\n'])).toEqual(['1', '! more than batchBodyBytes = 60']);
  });

  it('that are no UTF-8 or no JSON say so', async () => {
    expect(await read([Buffer.from([0x22, 0xff, 0x22, 0x0a]), '{\n'])).toEqual([
      '! : expected UTF-8',
      '! expected JSON',
    ]);
  });
});

describe('tasks as they finish', () => {
  it('run so many at once, and a slow one holds up no other', async () => {
    let running = 0;
    let most = 0;
    let openFirst: () => void = () => undefined;
    const first = new Promise<void>((resolve) => {
      openFirst = resolve;
    });
    const order: number[] = [];
    for await (const index of asTheyFinish([0, 1, 2, 3, 4, 5], 2, async (item) => {
      running += 1;
      most = Math.max(most, running);
      if (item === 0) await first;
      running -= 1;
      return item;
    })) {
      order.push(index);
      if (index === 5) openFirst();
    }
    expect([order, most]).toEqual([[1, 2, 3, 4, 5, 0], 2]);
  });

  it('stop their source when nobody reads on', async () => {
    let isStopped = false;
    async function* source() {
      try {
        for (let item = 0; ; item += 1) yield item;
      } finally {
        isStopped = true;
      }
    }
    for await (const item of asTheyFinish(source(), 3, async (item) => item)) if (item === 2) break;
    expect(isStopped).toBe(true);
  });

  it('fail with their source', async () => {
    async function* source() {
      yield 1;
      throw new RangeError('cut off');
    }
    const read = async () => {
      for await (const _ of asTheyFinish(source(), 2, async (item) => item));
    };
    await expect(read()).rejects.toThrowError('cut off');
  });
});
