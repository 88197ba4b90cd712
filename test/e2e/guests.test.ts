import { readFileSync } from 'node:fs';
import path from 'node:path';
import { OUTCOMES, type Outcome } from '@mayfly/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, root, startMayfly } from '../helpers/mayfly.js';

interface Expectation {
  readonly guest: string;
  readonly entrypoint: string;
  readonly args: readonly { readonly type: string; readonly value: unknown }[];
  readonly returns: string;
  readonly outcome: Outcome;
  readonly result?: unknown;
  readonly guestCode?: number;
  readonly messageIncludes?: string;
  readonly vector?: string;
  readonly timeoutMs?: number;
  readonly phase?: 'init';
}

/** Their rows say what holds without the worker's host functions; with them, `secrets` and `retries` of this folder do. */
const LIBRARY_ONLY = ['settings', 'retries'];

const expectations = (
  JSON.parse(readFileSync(path.join(root, 'guests/expectations.json'), 'utf8')) as readonly Expectation[]
).filter(({ guest }) => !LIBRARY_ONLY.includes(guest));

/** Every guest of the table, hostile ones included, through HTTP, queue and micro-VM. */
describe.skipIf(!kvmWorks)('POST /invoke answers each guest with its outcome (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  beforeAll(async () => {
    mayfly = await startMayfly();
    const guests = new Set([...expectations.map(({ guest }) => guest), 'hello']);
    for (const guest of guests) {
      const answer = await mayfly.upload(guest);
      expect([200, 201], `upload of ${guest}: ${await answer.text()}`).toContain(answer.status);
    }
    // Without typed entrypoints the gateway lets wrong arguments through, and the guest itself has to refuse them.
    await mayfly.upload('echo', { name: 'echo-untyped', manifest: { runtime: 'guest-abi' } });
  });
  afterAll(() => mayfly?.stop());

  it.each(
    expectations.map(
      (row) => [`${row.guest} ${row.entrypoint} ${JSON.stringify(row.args).slice(0, 60)}`, row] as const,
    ),
  )('%s', async (_name, row) => {
    const answer = await mayfly.invoke({
      function: row.guest === 'echo' && row.outcome !== 'succeeded' ? 'echo-untyped' : row.guest,
      entrypoint: row.entrypoint,
      args: row.args,
      returns: row.returns,
      ...(row.timeoutMs !== undefined && { timeoutMs: row.timeoutMs }),
    });
    const body = (await answer.json()) as Record<string, unknown>;
    const shown = JSON.stringify(body).slice(0, 600);
    expect(answer.status, shown).toBe(OUTCOMES[row.outcome].status);
    if (row.outcome === 'succeeded') {
      if (row.result !== undefined) expect(body['result'], shown).toMatchObject({ value: row.result });
      return;
    }
    expect(body['code'], shown).toBe(row.outcome);
    expect(answer.headers.get('function-error')).toBe(row.outcome);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    if (row.guestCode !== undefined) expect(body['guestCode'], shown).toBe(row.guestCode);
    if (row.vector !== undefined) expect(body['vector'], shown).toBe(row.vector);
    if (row.messageIncludes !== undefined) expect(body['detail'], shown).toContain(row.messageIncludes);
    expect(body['invocationId'], shown).toMatch(/^inv_/);
  });

  it('leaves the neighbours of hostile guests undisturbed', async () => {
    const hostile = expectations.filter(
      ({ outcome, timeoutMs }) => outcome !== 'succeeded' && (timeoutMs ?? 0) < 500,
    );
    const greet = async (name: string) => {
      const answer = await mayfly.invoke({ function: 'hello', args: [name] });
      expect(await answer.json()).toMatchObject({ result: { value: `Hello, ${name}!` } });
    };
    for (let i = 0; i < hostile.length; i += 4) {
      const batch = hostile.slice(i, i + 4);
      await Promise.all([
        ...batch.map(async ({ guest, entrypoint, args, returns, timeoutMs }) => {
          const answer = await mayfly.invoke({
            function: guest,
            entrypoint,
            args,
            returns,
            ...(timeoutMs && { timeoutMs }),
          });
          expect(answer.status).not.toBe(200);
          await answer.arrayBuffer();
        }),
        ...batch.map((_, n) => greet(`neighbour ${i + n}`)),
      ]);
    }
  });
});
