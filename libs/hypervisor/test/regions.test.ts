import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type RegionRequest, Rights, type Sandbox } from '../src/index.js';
import { evolveFake, FUNCTIONS, loadFake } from './fakes.js';

const ADDRESS = 0x4000_0000;
const TEXT = Buffer.from('bytes of a file');

/** Reads, or writes, at the address that it is given. */
const guest = {
  ...FUNCTIONS,
  Read: ([address]: readonly { type: string; value?: unknown }[], { machine }: { machine: Reader }) => ({
    ok: true as const,
    value: { type: 'bytes' as const, value: machine.read(Number(address?.value), TEXT.byteLength) },
  }),
  Write: ([address]: readonly { type: string; value?: unknown }[], { machine }: { machine: Reader }) => {
    machine.writeWord(Number(address?.value), 1n);
    return { ok: true as const, value: { type: 'void' as const } };
  },
};
interface Reader {
  read(address: number, lengthBytes: number): Uint8Array;
  writeWord(address: number, value: bigint): void;
}

function file(bytes: Uint8Array = TEXT): string {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-region-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'data');
  writeFileSync(path, bytes);
  return path;
}

const at = (address: number) => [{ type: 'ulong', value: BigInt(address) }] as const;
const readAt = (sandbox: Sandbox, address = ADDRESS) => sandbox.call('Read', at(address), 'bytes');

describe('a mapped region', () => {
  test('of a file is there for the calls after it, read-only, in whole pages', async () => {
    const path = file();
    const sandbox = await evolveFake(guest);
    expect(sandbox.mappedRegions).toEqual([]);
    expect(await sandbox.mapFileCow(path, ADDRESS)).toBe(4096);
    expect(sandbox.mappedRegions).toEqual([
      { address: ADDRESS, lengthBytes: 4096, rights: Rights.READ | Rights.EXECUTE },
    ]);
    expect((await readAt(sandbox)).value).toEqual({ type: 'bytes', value: new Uint8Array(TEXT) });
    expect(await sandbox.call('Write', at(ADDRESS), 'void')).toMatchObject({
      outcome: 'access-violation',
      detail: { message: expect.stringContaining('of type WRITE, but memory is marked as READ | EXECUTE') },
    });
    expect(readFileSync(path)).toEqual(TEXT);
  });

  test('can be of bytes, or of a descriptor from a page on', async () => {
    const sandbox = await evolveFake(guest);
    const bytes = Buffer.concat([Buffer.alloc(4096), TEXT]);
    await sandbox.mapRegion({ address: ADDRESS, rights: Rights.READ, source: { bytes: TEXT } });
    const descriptor = openSync(file(bytes), 'r');
    onTestFinished(() => closeSync(descriptor));
    const second = await sandbox.mapRegion({
      address: ADDRESS + 0x2000,
      rights: Rights.READ,
      source: { file: descriptor, offsetBytes: 4096 },
    });
    expect(second.lengthBytes).toBe(4096);
    for (const address of [ADDRESS, ADDRESS + 0x2000])
      expect((await readAt(sandbox, address)).value).toMatchObject({ value: new Uint8Array(TEXT) });
  });

  test('goes when it is unmapped, and its address is a page fault again', async () => {
    const sandbox = await evolveFake(guest);
    await sandbox.mapFileCow(file(), ADDRESS);
    await sandbox.unmapRegion(ADDRESS);
    expect(sandbox.mappedRegions).toEqual([]);
    expect((await readAt(sandbox)).outcome).toBe('exception');
  });

  test('belongs to the snapshot that was taken with it: invoke and restore bring back the list', async () => {
    const sandbox = await evolveFake(guest);
    const without = await sandbox.snapshot();
    await sandbox.mapFileCow(file(), ADDRESS);
    expect((await sandbox.invoke('Read', at(ADDRESS), 'bytes')).outcome).toBe('exception');
    expect(sandbox.mappedRegions).toEqual([]);

    await sandbox.restore(without);
    await sandbox.mapFileCow(file(), ADDRESS);
    const withRegion = await sandbox.snapshot();
    expect((await sandbox.invoke('Read', at(ADDRESS), 'bytes')).outcome).toBe('succeeded');
    const twin = await withRegion.instantiate();
    expect(twin.mappedRegions).toHaveLength(1);
    expect((await twin.invoke('Read', at(ADDRESS), 'bytes')).outcome).toBe('succeeded');
    await sandbox.restore(without);
    expect(sandbox.mappedRegions).toEqual([]);
    await twin.close();
  });

  test('does not keep the beginning of a call that the warm snapshot holds', async () => {
    const beforeInput = function* (context: { machine: { regs: { rsp: bigint } } & Reader }) {
      const top = Number(context.machine.regs.rsp) - 64;
      context.machine.writeWord(
        top,
        BigInt(Buffer.from(context.machine.read(top, 8)).readBigUInt64LE()) + 1n,
      );
      yield { kind: 'next' as const };
    };
    const sandbox = await (
      await loadFake({
        beforeInput,
        functions: {
          Begun: (_args, { machine }) => ({
            ok: true,
            value: { type: 'ulong', value: machine.readWord(Number(machine.regs.rsp) - 64) },
          }),
        },
      })
    ).evolve();
    expect(sandbox.warm).toBe(true);
    await sandbox.mapFileCow(file(), ADDRESS);
    expect((await sandbox.call('Begun', [], 'ulong')).value).toEqual({ type: 'ulong', value: 1n });
  });

  const region = (more: Partial<RegionRequest>): RegionRequest => ({
    address: ADDRESS,
    rights: Rights.READ,
    source: { bytes: TEXT },
    ...more,
  });
  const bad: [string, RegionRequest][] = [
    ['an address inside a page', region({ address: ADDRESS + 8 })],
    ['an address in guest memory', region({ address: 0x1000 })],
    ['an address beyond what can be mapped', region({ address: 60 * 2 ** 30 })],
    ['a length inside a page', region({ lengthBytes: 100 })],
    ['a length beyond its source', region({ lengthBytes: 0x2000 })],
    ['the right to write', region({ rights: Rights.READ | Rights.WRITE })],
    ['the right of a guard page', region({ rights: Rights.READ | Rights.STACK_GUARD })],
    ['no rights', region({ rights: 0 })],
    ['an empty source', region({ source: { bytes: new Uint8Array(0) } })],
    ['a file that does not exist', region({ source: { file: '/nonexistent/file' } })],
    ['a folder', region({ source: { file: tmpdir() } })],
  ];
  test.each(bad)('with %s is refused by name, and nothing is lost', async (_label, request) => {
    const sandbox = await evolveFake(guest);
    await expect(sandbox.mapRegion(request)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REGION' });
    expect(sandbox.doubtful).toBe(false);
    await sandbox.mapFileCow(file(), ADDRESS);
    await expect(sandbox.mapFileCow(file(), ADDRESS)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REGION' });
    await expect(sandbox.unmapRegion(ADDRESS + 0x1000)).rejects.toMatchObject({
      code: 'MAYFLY_ERR_VM_REGION',
    });
    expect((await readAt(sandbox)).outcome).toBe('succeeded');
  });

  test('is refused on a poisoned sandbox', async () => {
    const sandbox = await evolveFake(guest);
    await sandbox.call('Write', at(0), 'void');
    await expect(sandbox.mapFileCow(file(), ADDRESS)).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SANDBOX_POISONED',
    });
  });
});
