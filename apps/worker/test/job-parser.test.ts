import { LIMITS } from '@mayfly/contracts';
import { expect, test } from 'vitest';
import { parseFunctionRef, parseJob } from '../src/job-parser.js';
import { functionRef, invocationItem, invocationJob, replyToken } from './helpers/jobs.js';

const REPLY = { gatewayId: 'g1', socketPath: '/run/g.sock' };

test('a job of a gateway is read as it is', () => {
  const items = [invocationItem({ replyToken: replyToken() }), invocationItem({ expiresAtMs: 1 })];
  expect(parseJob(invocationJob(items, { reply: REPLY }))).toEqual({
    function: functionRef(),
    reply: REPLY,
    items,
    badItems: [],
  });
});

test('what a job requires of its host is read', () => {
  const required = functionRef({ requiresKvm: 'hardware' });
  const parsed = parseJob(invocationJob([invocationItem()], { v: 2, function: required }));
  expect(parsed.function).toEqual(required);
});

test.each([
  ['nothing', undefined],
  ['text', 'job'],
  ['a list', []],
  ['no function', { v: 1, items: [invocationItem()] }],
  [
    'a tenant with a separator',
    invocationJob([invocationItem()], { function: functionRef({ tenant: 'a:b' }) }),
  ],
  ['a function with a path', invocationJob([invocationItem()], { function: functionRef({ name: '../x' }) })],
  ['version 0', invocationJob([invocationItem()], { function: functionRef({ version: 0 }) })],
  ['a short hash', invocationJob([invocationItem()], { function: functionRef({ artifactSha256: 'ab' }) })],
  [
    'a huge artifact',
    invocationJob([invocationItem()], { function: functionRef({ artifactBytes: 2 ** 40 }) }),
  ],
  [
    'a heap above the limit',
    invocationJob([invocationItem()], {
      function: functionRef({ memory: { ...functionRef().memory, heapBytes: LIMITS.heapBytes + 1 } }),
    }),
  ],
  [
    'an unknown kind of KVM',
    { ...invocationJob([invocationItem()]), v: 2, function: { ...functionRef(), requiresKvm: 'any' } },
  ],
  [
    'a requirement in a version that workers may not know it by',
    invocationJob([invocationItem()], { v: 1, function: functionRef({ requiresKvm: 'hardware' }) }),
  ],
  ['the version of a requirement without one', invocationJob([invocationItem()], { v: 2 })],
  ['no items', invocationJob([])],
  [
    'too many items',
    invocationJob(Array.from({ length: LIMITS.invocationsPerJob + 1 }, () => invocationItem())),
  ],
  ['items without ids', { ...invocationJob([]), items: [{}, null, 7] }],
  ['a reply to nobody', { ...invocationJob([invocationItem()]), reply: {} }],
  [
    'a relative socket',
    invocationJob([invocationItem()], { reply: { gatewayId: 'g', socketPath: 'x.sock' } }),
  ],
  [
    'a socket path with NUL',
    invocationJob([invocationItem()], { reply: { gatewayId: 'g', socketPath: '/a\0b' } }),
  ],
  [
    'a socket path that no socket can have',
    invocationJob([invocationItem()], { reply: { gatewayId: 'g', socketPath: `/${'x'.repeat(107)}` } }),
  ],
  ['a gateway id with a separator', invocationJob([invocationItem()], { reply: { gatewayId: 'a b' } })],
])('%s is a malformed job', (_name, data) => {
  expect(() => parseJob(data)).toThrow(expect.objectContaining({ code: 'MAYFLY_ERR_JOB_MALFORMED' }));
});

test('a job of another version is told from a malformed one', () => {
  expect(() => parseJob({ ...invocationJob([invocationItem()]), v: 3 })).toThrow(
    expect.objectContaining({ code: 'MAYFLY_ERR_JOB_VERSION' }),
  );
});

test.each([
  ['entrypoint', { entrypoint: 'a b' }],
  ['returns', { returns: 'blob' }],
  ['timeoutMs', { timeoutMs: 0 }],
  ['timeoutMs', { timeoutMs: LIMITS.timeoutMs + 1 }],
  ['acceptedAtMs', { acceptedAtMs: 'now' }],
  ['expiresAtMs', { expiresAtMs: Number.NaN }],
  ['replyToken', { replyToken: 'secret' }],
  ['input', { input: undefined }],
  ['input', { input: { kind: 'file' } }],
  ['input', { input: { kind: 'args', args: [{ type: 'void' }] } }],
  ['input', { input: { kind: 'args', args: new Array(12).fill({ type: 'int', value: 1 }) } }],
  ['input', { input: { kind: 'body', as: 'int', base64: '' } }],
  ['input', { input: { kind: 'blob', of: 'bytes', sha256: '../../x', lengthBytes: 1 } }],
])('an item with a bad %s is set apart, the others are kept', (problem, damage) => {
  const good = invocationItem();
  const bad = { ...invocationItem(), ...damage };
  const parsed = parseJob({ ...invocationJob([]), items: [good, bad] });
  expect(parsed.items).toEqual([good]);
  expect(parsed.badItems).toMatchObject([{ invocationId: bad.invocationId, problem }]);
});

test('an announced version is read, anything else is not one', () => {
  expect(parseFunctionRef(functionRef())).toEqual(functionRef());
  expect(parseFunctionRef({ tenant: 'acme' })).toBeUndefined();
});
