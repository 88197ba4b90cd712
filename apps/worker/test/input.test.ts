import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import type { InvocationInput } from '@mayfly/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeInput } from '../src/input.js';

let directory: string;
let blobs: LocalBlobStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mf-input-'));
  blobs = new LocalBlobStore(directory);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const decode = async (input: InvocationInput) => decodeInput(input, 'acme', blobs);

async function blobInput(
  of: 'args' | 'bytes' | 'string',
  content: string | Buffer,
): Promise<InvocationInput> {
  const { sha256, lengthBytes } = await blobs.put('acme', Buffer.from(content));
  return { kind: 'blob', of, sha256, lengthBytes };
}

test('arguments, bodies and blobs become typed values', async () => {
  const args = [
    { type: 'ulong', value: '18446744073709551615' },
    { type: 'double', value: '-Infinity' },
    { type: 'bytes', value: 'AAE=' },
  ] as const;
  const values = [
    { type: 'ulong', value: 2n ** 64n - 1n },
    { type: 'double', value: Number.NEGATIVE_INFINITY },
    { type: 'bytes', value: Buffer.from([0, 1]) },
  ];
  expect(await decode({ kind: 'args', args })).toEqual(values);
  expect(await decode(await blobInput('args', JSON.stringify(args)))).toEqual(values);
  expect(
    await decode({ kind: 'body', as: 'string', base64: Buffer.from('grüße').toString('base64') }),
  ).toEqual([{ type: 'string', value: 'grüße' }]);
  expect(await decode(await blobInput('string', 'grüße'))).toEqual([{ type: 'string', value: 'grüße' }]);
  expect(await decode(await blobInput('bytes', Buffer.from([255, 0])))).toEqual([
    { type: 'bytes', value: Buffer.from([255, 0]) },
  ]);
});

test.each([
  ['an int out of range', { kind: 'args', args: [{ type: 'int', value: 2 ** 31 }] }],
  ['a number for a string', { kind: 'args', args: [{ type: 'string', value: 1 }] }],
  ['a body that is not UTF-8', { kind: 'body', as: 'string', base64: '/w==' }],
] as const)('%s is refused by name', async (_name, input) => {
  await expect(decode(input)).rejects.toMatchObject({ code: 'MAYFLY_ERR_JOB_MALFORMED' });
});

test.each([
  ['no JSON', '{'],
  ['no list', '{}'],
  ['no typed values', '[1]'],
  ['too many', JSON.stringify(new Array(12).fill({ type: 'int', value: 1 }))],
])('a blob of arguments with %s is refused by name', async (_name, content) => {
  await expect(decode(await blobInput('args', content))).rejects.toMatchObject({
    code: 'MAYFLY_ERR_JOB_MALFORMED',
  });
});

test('a blob that is not there is a host fault by name', async () => {
  const input: InvocationInput = { kind: 'blob', of: 'bytes', sha256: '0'.repeat(64), lengthBytes: 1 };
  await expect(decode(input)).rejects.toMatchObject({ code: 'MAYFLY_ERR_BLOB_MISSING' });
});
