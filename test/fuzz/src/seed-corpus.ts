import { DEFAULT_MEMORY, encodeReply, type InvocationRecord, type TypedValue } from '@mayfly/contracts';
import { buildElf, encodeTraceBatch } from '@mayfly/hypervisor/testing';
import { encodeFunctionCall } from '../../../libs/hypervisor/dist/codec/function-call.js';
import { encodeFunctionCallAnswer } from '../../../libs/hypervisor/dist/codec/function-call-result.js';
import { encodeSizePrefixed } from '../../../libs/hypervisor/dist/codec/shared-builder.js';
import { GuestLogData } from '../../../libs/hypervisor/dist/generated/guest-log-data.js';
import { LogLevel } from '../../../libs/hypervisor/dist/generated/log-level.js';
import { writeCorpus } from './corpus.js';

/** Writes the well-formed inputs that mutation starts from. Regressions stand beside them and stay. */

const VALUES: readonly TypedValue[] = [
  { type: 'int', value: -5 },
  { type: 'uint', value: 7 },
  { type: 'long', value: -(2n ** 62n) },
  { type: 'ulong', value: 2n ** 63n },
  { type: 'float', value: 1.5 },
  { type: 'double', value: -0.25 },
  { type: 'bool', value: true },
  { type: 'string', value: 'Zoë ☃' },
  { type: 'bytes', value: Uint8Array.of(1, 2, 3, 250) },
];
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

writeCorpus('elf', 'smallest', buildElf().bytes);
writeCorpus('elf', 'zero-bytes', buildElf({ zeroBytes: 4096 }).bytes);
writeCorpus(
  'elf',
  'relocations',
  buildElf({
    code: new Uint8Array(64).fill(0xf4),
    relocations: [
      { address: 0x180, addend: 0x10n },
      { address: 0x188, addend: -1n },
      { address: 0, addend: 0n, type: 0 },
    ],
  }).bytes,
);

for (const value of VALUES)
  writeCorpus('call-result', value.type, Uint8Array.from(encodeFunctionCallAnswer({ ok: true, value })));
writeCorpus(
  'call-result',
  'void',
  Uint8Array.from(encodeFunctionCallAnswer({ ok: true, value: { type: 'void' } })),
);
writeCorpus(
  'call-result',
  'error',
  Uint8Array.from(encodeFunctionCallAnswer({ ok: false, code: 15n, message: 'no such record' })),
);

writeCorpus(
  'host-call',
  'all-types',
  Uint8Array.from(encodeFunctionCall({ name: 'Store', args: VALUES, returns: 'bytes', callee: 'host' })),
);
writeCorpus(
  'host-call',
  'no-parameters',
  Uint8Array.from(encodeFunctionCall({ name: 'Now', args: [], returns: 'ulong', callee: 'host' })),
);
writeCorpus(
  'host-call',
  'print',
  Uint8Array.from(
    encodeFunctionCall({
      name: 'HostPrint',
      args: [{ type: 'string', value: 'hello' }],
      returns: 'int',
      callee: 'host',
    }),
  ),
);

writeCorpus('log', 'warning', logRecord('late', LogLevel.Warning, 12));
writeCorpus('log', 'empty', logRecord('', LogLevel.Information, 0));

writeCorpus('trace', 'empty', encodeTraceBatch([]));
writeCorpus(
  'trace',
  'nested',
  encodeTraceBatch([
    { kind: 'open', id: 1n, name: 'outer', target: 'guest', tsc: 120n },
    { kind: 'open', id: 2n, parent: 1n, name: 'inner', target: 'guest', tsc: 140n, fields: [['depth', '☃']] },
    { kind: 'event', parent: 2n, name: 'hit', tsc: 160n, fields: [['answer', '42']] },
    { kind: 'close', id: 2n, tsc: 180n },
    { kind: 'close', id: 1n, tsc: 200n },
  ]),
);
writeCorpus(
  'trace',
  'lies',
  encodeTraceBatch([
    { kind: 'open', id: 2n ** 64n - 1n, parent: 2n ** 64n - 1n, name: '', target: '', tsc: 2n ** 64n - 1n },
    { kind: 'open', id: 0n, parent: 0n, name: '\0', target: 'x'.repeat(1000), tsc: 0n },
    { kind: 'close', id: 7n, tsc: 0n },
    { kind: 'event', parent: 9n, name: '', tsc: 2n ** 63n },
  ]),
);

writeCorpus('io-buffers', 'empty', stack(64, []));
writeCorpus('io-buffers', 'one', stack(128, [Uint8Array.of(4, 0, 0, 0, 9, 9, 9, 9)]));
writeCorpus(
  'io-buffers',
  'three',
  stack(256, [new Uint8Array(4), Uint8Array.of(4, 0, 0, 0, 1, 2, 3, 4), new Uint8Array(20)]),
);
writeCorpus('io-buffers', 'above-64-kib', stack(80 * 1024, [new Uint8Array(70 * 1024)]));

writeCorpus('abort', 'message', Uint8Array.from([15, ...Buffer.from('no more')]));
writeCorpus('abort', 'exception', Uint8Array.from([15, 14, ...Buffer.from('page fault at 0x0')]));
writeCorpus(
  'abort',
  'rust-heap',
  Uint8Array.from([8, ...Buffer.from('memory allocation of 48 bytes failed')]),
);
writeCorpus('abort', 'longest', new Uint8Array(1024).fill(0x41));
writeCorpus('abort', 'not-utf8', Uint8Array.of(8, 0xc3, 0x28, 0xf0, 0x90, 0x80));

const version = {
  tenant: 'default',
  name: 'hello',
  version: 3,
  artifactSha256: 'ab'.repeat(32),
  artifactBytes: 20_000,
  memory: DEFAULT_MEMORY,
};
const item = (input: unknown, extra: object = {}) => ({
  invocationId: `inv_${'0123456789abcdef'.repeat(2)}`,
  entrypoint: 'Hello',
  input,
  returns: 'string',
  timeoutMs: 1000,
  acceptedAtMs: 1_700_000_000_000,
  ...extra,
});
writeCorpus(
  'job',
  'args',
  json({
    v: 1,
    function: version,
    items: [item({ kind: 'args', args: [{ type: 'string', value: 'Ada' }] })],
  }),
);
writeCorpus(
  'job',
  'body-and-reply',
  json({
    v: 1,
    function: version,
    reply: { gatewayId: 'g1', socketPath: '/run/mayfly/g1.sock' },
    items: [
      item(
        { kind: 'body', as: 'bytes', base64: 'AQID' },
        { replyToken: '0'.repeat(32), expiresAtMs: 1_800_000_000_000 },
      ),
      item({ kind: 'body', as: 'string', base64: '' }),
    ],
  }),
);
writeCorpus(
  'job',
  'blob',
  json({
    v: 1,
    function: version,
    items: [item({ kind: 'blob', of: 'args', sha256: 'cd'.repeat(32), lengthBytes: 100_000 })],
  }),
);

const record: InvocationRecord = {
  v: 1,
  invocationId: `inv_${'0'.repeat(32)}`,
  tenant: 'default',
  function: 'hello',
  version: 1,
  entrypoint: 'Hello',
  returns: 'string',
  outcome: 'succeeded',
  timings: { queueUs: 1, acquireUs: 1, restoreUs: 1, runUs: 1, resultUs: 1, totalUs: 5 },
  usage: { cpuUs: 0, exits: 1, hostCalls: 0, dirtyPages: 4, source: 'warm' },
  logTail: '',
  attempt: 1,
  workerId: 'w1',
  acceptedAtMs: 1,
  finishedAtMs: 2,
};
const frame = (body: string) =>
  encodeReply({ token: '5'.repeat(32), record, body: new TextEncoder().encode(body) });
// The first byte says how the target cuts the stream.
writeCorpus('reply', 'one', Uint8Array.from([16, ...frame('Hello, Ada!')]));
writeCorpus('reply', 'two', Uint8Array.from([1, ...frame(''), ...frame('x'.repeat(100))]));
writeCorpus('reply', 'unfinished', Uint8Array.from([7, ...frame('late').subarray(0, 60)]));

writeCorpus('manifest', 'empty', json({}));
writeCorpus(
  'manifest',
  'full',
  json({
    runtime: 'guest-abi',
    entrypoints: {
      Add: { params: ['int', 'int'], returns: 'int' },
      Qr: { params: ['string'], returns: 'bytes', contentType: 'image/svg+xml' },
    },
    default: 'Qr',
    memory: { heapBytes: 1_048_576, stackBytes: 65_536, inputBytes: 8192, outputBytes: 8192 },
    timeoutMs: 2500,
  }),
);

/** An I/O buffer as guest-abi 6 draws it. */
function stack(bufferBytes: number, elements: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(bufferBytes);
  const view = new DataView(bytes.buffer);
  let top = 8;
  for (const element of elements) {
    bytes.set(element, top);
    view.setBigUint64(top + element.byteLength, BigInt(top), true);
    top += element.byteLength + 8;
  }
  view.setBigUint64(0, BigInt(top), true);
  return bytes;
}

function logRecord(message: string, level: LogLevel, line: number): Uint8Array {
  const record = encodeSizePrefixed((builder) => {
    const text = builder.createString(message);
    return GuestLogData.createGuestLogData(builder, text, text, level, text, text, line);
  });
  return Uint8Array.from(record);
}
