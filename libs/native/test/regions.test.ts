import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  createKvmDriver,
  type DriverVm,
  type HypervisorDriver,
  type RegionRequest,
  Rights,
} from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, makeVm, noKvm } from './guest.js';

/** A VM of a driver that has all of the contract. */
type WholeVm = Required<DriverVm>;

const BASE = 2 ** 32;
const bytes = Uint8Array.from({ length: 0x1800 }, (_, i) => i * 7);

describe.skipIf(noKvm !== undefined)(
  `mapped regions of a KVM guest${noKvm === undefined ? '' : ` (skipped: ${noKvm})`}`,
  () => {
    let driver: HypervisorDriver;
    let vm: WholeVm;
    const folder = mkdtempSync(path.join(tmpdir(), 'mayfly-regions-'));
    const file = path.join(folder, 'data');
    beforeAll(async () => {
      writeFileSync(file, bytes);
      driver = await createKvmDriver();
      vm = (await makeVm(driver, 'hostCall')) as WholeVm;
    });
    afterAll(async () => {
      await driver?.close();
      rmSync(folder, { recursive: true });
    });

    const region = (fields: Partial<RegionRequest> = {}): RegionRequest => ({
      address: BASE,
      rights: Rights.READ,
      source: { bytes },
      ...fields,
    });

    it('are listed, read, and follow snapshot and restore', async () => {
      const empty = await vm.snapshot();
      expect(await vm.mapRegion(region())).toEqual({ address: BASE, lengthBytes: 0x2000, rights: 1 });
      await vm.mapRegion(
        region({ address: BASE - 0x1000, rights: 5, source: { file, offsetBytes: 0x1000 } }),
      );
      const both = [
        { address: BASE - 0x1000, lengthBytes: 0x1000, rights: 5 },
        { address: BASE, lengthBytes: 0x2000, rights: 1 },
      ];
      expect(vm.mappedRegions).toEqual(both);
      expect(vm.read(BASE, 0x1800)).toEqual(bytes);
      expect(vm.read(BASE - 0x1000, 0x800)).toEqual(bytes.slice(0x1000));
      const snapshot = await vm.snapshot();
      await vm.unmapRegion(BASE);
      expect(vm.mappedRegions).toEqual(both.slice(0, 1));
      const clone = (await driver.createVmFromSnapshot(snapshot)) as WholeVm;
      expect(clone.mappedRegions).toEqual(both);
      await clone.restore(empty);
      expect(clone.mappedRegions).toEqual([]);
      expect((await call(vm, { restore: true })).exit).toMatchObject({ kind: 'io-out' });
      expect(vm.mappedRegions).toEqual(both);
      await vm.restore(empty);
      await clone.close();
    });

    it.each([
      ['WRITE', region({ rights: Rights.READ | Rights.WRITE })],
      ['STACK_GUARD', region({ rights: Rights.READ | Rights.STACK_GUARD })],
      ['an address off the page', region({ address: BASE + 1 })],
      ['an address that is no whole number', region({ address: -4096 })],
      ['a length off the page', region({ lengthBytes: 100 })],
      ['a length of 0', region({ lengthBytes: 0 })],
      ['more than the source has', region({ lengthBytes: 0x3000 })],
      ['guest memory', region({ address: 0x1000 })],
      ['an empty source', region({ source: { bytes: new Uint8Array() } })],
      ['a missing file', region({ source: { file: path.join(folder, 'none') } })],
      ['a folder', region({ source: { file: folder } })],
      ['an offset off the page', region({ source: { file, offsetBytes: 1 } })],
      ['a closed descriptor', region({ source: { file: 99_999 } })],
    ])('are refused by name for %s', async (_, request) => {
      await expect(vm.mapRegion(request)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REGION' });
      expect(vm.mappedRegions).toEqual([]);
    });

    it('are unmapped where they start, and nowhere else', async () => {
      await vm.mapRegion(region());
      await expect(vm.unmapRegion(BASE + 0x1000)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REGION' });
      await vm.unmapRegion(BASE);
      expect(() => vm.read(BASE, 1)).toThrow(expect.objectContaining({ code: 'MAYFLY_ERR_VM_RANGE' }));
    });
  },
);
