import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RegionRequest, Rights } from '@mayfly/hypervisor';
import { describe, expect, onTestFinished, test } from 'vitest';
import { error, type Kit, type WholeVm } from '../kit.js';
import { PLACE, type Program, word } from '../program.js';
import * as programs from '../programs.js';

const { READ, WRITE, EXECUTE, STACK_GUARD } = Rights;
const PAGE_BYTES = 0x1000;
const AT = 0x4000_0000;
const MAX_REGIONS = 32;

/** Memory beside the plan's. */
export function regionsSuite(kit: Kit): void {
  const { enter } = kit;
  const create = async (program: Program) => (await kit.create(program)) as WholeVm;
  const region = (more: Partial<RegionRequest> = {}): RegionRequest => ({
    address: AT,
    rights: READ,
    source: { bytes: word(0x5eedn) },
    ...more,
  });
  const notPresent = { kind: 'exception', vector: 14, errorCode: 4n, address: BigInt(AT) };

  describe('a mapped region', () => {
    test('is read by guest and host, in whole pages, and zero behind its source', async () => {
      const vm = await create(programs.LOAD);
      const bytes = word(0x5eedn);
      const mapping = vm.mapRegion(region({ source: { bytes } }));
      // They were taken when the operation began.
      bytes.fill(0xff);
      expect(await mapping).toEqual({ address: AT, lengthBytes: PAGE_BYTES, rights: READ });
      expect(vm.mappedRegions).toEqual([{ address: AT, lengthBytes: PAGE_BYTES, rights: READ }]);
      expect((await enter(vm, { rdi: BigInt(AT) })).regs.rax).toBe(0x5eedn);
      expect((await enter(vm, { rdi: BigInt(AT + 0xff8) })).regs.rax).toBe(0n);
      expect(vm.read(AT, 8)).toEqual(word(0x5eedn));
    });

    test('is out of the reach of stores: of the guest, of the host, of a request', async () => {
      const vm = await create(programs.STORE);
      await vm.mapRegion(region());
      expect((await enter(vm, { rdi: BigInt(AT), rax: 1n })).exit).toMatchObject({
        kind: 'exception',
        vector: 14,
        errorCode: 7n,
        address: BigInt(AT),
      });
      expect(() => vm.write(AT, word(1n))).toThrow(error('MAYFLY_ERR_VM_RANGE'));
      await expect(enter(vm, {}, { writes: [{ address: AT, bytes: word(1n) }] })).rejects.toThrow(
        error('MAYFLY_ERR_VM_RANGE'),
      );
      expect(vm.read(AT, 8)).toEqual(word(0x5eedn));
    });

    test('is executed only with the right to', async () => {
      const vm = await create(programs.JUMP);
      const source = { bytes: Buffer.from('0f0b', 'hex') }; // ud2
      await vm.mapRegion(region({ source, rights: READ | EXECUTE }));
      await vm.mapRegion(region({ source, address: AT + PAGE_BYTES }));
      expect((await enter(vm, { rdi: BigInt(AT) })).exit).toMatchObject({ vector: 6, rip: BigInt(AT) });
      expect((await enter(vm, { rdi: BigInt(AT + PAGE_BYTES) })).exit).toMatchObject({
        kind: 'exception',
        vector: 14,
        errorCode: 0x15n,
      });
    });

    test('of a file shows its bytes from the offset on, by path and by descriptor', async () => {
      const vm = await create(programs.LOAD);
      const path = file(Buffer.concat([Buffer.alloc(PAGE_BYTES, 1), Buffer.from(word(0x77n))]));
      const descriptor = openSync(path, 'r');
      onTestFinished(() => closeSync(descriptor));
      expect((await vm.mapRegion(region({ source: { file: path } }))).lengthBytes).toBe(2 * PAGE_BYTES);
      const second = region({ address: AT + 0x10000, source: { file: descriptor, offsetBytes: PAGE_BYTES } });
      expect((await vm.mapRegion(second)).lengthBytes).toBe(PAGE_BYTES);
      expect((await enter(vm, { rdi: BigInt(AT + PAGE_BYTES) })).regs.rax).toBe(0x77n);
      expect((await enter(vm, { rdi: BigInt(AT + 0x10000) })).regs.rax).toBe(0x77n);
      expect(readFileSync(path)).toHaveLength(PAGE_BYTES + 8);
    });

    test('can be shorter than its source', async () => {
      const vm = await create(programs.LOAD);
      const source = { bytes: new Uint8Array(2 * PAGE_BYTES) };
      expect((await vm.mapRegion(region({ source, lengthBytes: PAGE_BYTES }))).lengthBytes).toBe(PAGE_BYTES);
      expect((await enter(vm, { rdi: BigInt(AT + PAGE_BYTES) })).exit.kind).toBe('exception');
    });

    test('is gone when it is unmapped, also for a guest that has used it', async () => {
      const vm = await create(programs.LOAD);
      await vm.mapRegion(region());
      await enter(vm, { rdi: BigInt(AT) });
      await vm.unmapRegion(AT);
      expect(vm.mappedRegions).toEqual([]);
      expect((await enter(vm, { rdi: BigInt(AT) })).exit).toMatchObject(notPresent);
      expect(() => vm.read(AT, 8)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
      await expect(vm.unmapRegion(AT)).rejects.toThrow(error('MAYFLY_ERR_VM_REGION'));
      await vm.mapRegion(region({ source: { bytes: word(2n) } }));
      expect((await enter(vm, { rdi: BigInt(AT) })).regs.rax).toBe(2n);
    });

    test('belongs to the snapshots taken with it: a restore brings the list back', async () => {
      const vm = await create(programs.LOAD);
      await vm.mapRegion(region());
      const snapshot = await vm.snapshot();
      await vm.unmapRegion(AT);
      await vm.mapRegion(region({ address: AT + 0x10000 }));
      expect((await enter(vm, { rdi: BigInt(AT) }, { restore: true })).regs.rax).toBe(0x5eedn);
      expect(vm.mappedRegions).toEqual([{ address: AT, lengthBytes: PAGE_BYTES, rights: READ }]);
      expect((await enter(vm, { rdi: BigInt(AT + 0x10000) })).exit.kind).toBe('exception');
      const twin = (await kit.driver.createVmFromSnapshot(snapshot)) as WholeVm;
      onTestFinished(async () => {
        await twin.close();
      });
      expect(twin.mappedRegions).toEqual(vm.mappedRegions);
      expect((await enter(twin, { rdi: BigInt(AT) })).regs.rax).toBe(0x5eedn);
    });

    const bad: [string, RegionRequest][] = [
      ['an address inside a page', region({ address: AT + 8 })],
      ['an address below 0', region({ address: -PAGE_BYTES })],
      ['an address that is no number', region({ address: Number.NaN })],
      ['an address in guest memory', region({ address: PLACE.memoryBytes - PAGE_BYTES })],
      ['an end above 60 GiB', region({ address: 60 * 2 ** 30 })],
      ['a length inside a page', region({ lengthBytes: 8 })],
      ['a length of 0', region({ lengthBytes: 0 })],
      ['a length beyond its source', region({ lengthBytes: 2 * PAGE_BYTES })],
      ['the right to write', region({ rights: READ | WRITE })],
      ['the right of a guard page', region({ rights: READ | STACK_GUARD })],
      ['no right to read', region({ rights: EXECUTE })],
      ['no rights', region({ rights: 0 })],
      ['an empty source', region({ source: { bytes: new Uint8Array(0) } })],
      ['a file that does not exist', region({ source: { file: '/nonexistent' } })],
      ['a folder', region({ source: { file: tmpdir() } })],
      ['a descriptor that is not open', region({ source: { file: 999_999 } })],
      ['another region there', region({ address: AT + 0x20000 })],
    ];
    test.each(bad)('with %s is refused, and nothing changes', async (_label, request) => {
      const vm = await create(programs.LOAD);
      await vm.mapRegion(region({ address: AT + 0x20000 }));
      await expect(vm.mapRegion(request)).rejects.toThrow(error('MAYFLY_ERR_VM_REGION'));
      expect(vm.mappedRegions).toHaveLength(1);
      expect((await enter(vm, { rdi: BigInt(AT + 0x20000) })).regs.rax).toBe(0x5eedn);
    });

    test(`is one of ${MAX_REGIONS} at most`, async () => {
      const vm = await create(programs.LOAD);
      for (let i = 0; i < MAX_REGIONS; i++) await vm.mapRegion(region({ address: AT + i * PAGE_BYTES }));
      const last = region({ address: AT + MAX_REGIONS * PAGE_BYTES });
      await expect(vm.mapRegion(last)).rejects.toThrow(error('MAYFLY_ERR_VM_REGION'));
      await vm.unmapRegion(AT);
      await vm.mapRegion(last);
      expect((await enter(vm, { rdi: BigInt(last.address) })).regs.rax).toBe(0x5eedn);
    });

    test('is an operation: refused while the guest runs, and when the VM is closed', async () => {
      const vm = await create(programs.SPIN);
      const running = enter(vm, {}, { startsCall: true });
      await expect(vm.mapRegion(region())).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
      await expect(vm.unmapRegion(AT)).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
      vm.interrupt.kill();
      await running;
      await vm.close();
      await expect(vm.mapRegion(region())).rejects.toThrow(error('MAYFLY_ERR_VM_CLOSED'));
    });
  });
}

function file(bytes: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-region-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'data');
  writeFileSync(path, bytes);
  return path;
}
