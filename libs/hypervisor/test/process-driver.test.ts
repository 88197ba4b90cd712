import { createProcessDriver, type DriverVm, type ProcessDriver, type VmPlan } from '@mayfly/hypervisor';
import { CellMessage, CellMessageWriter } from '@mayfly/native';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { noKvm } from '../../native/test/guest.js';

const CODE = 0x4000;
const DATA = 0x5000;
const MEMORY_BYTES = 0x40_0000;
/** `jmp .` */
const SPIN = Uint8Array.of(0xeb, 0xfe);
/** `hlt` */
const HALT = Uint8Array.of(0xf4);
const LIMIT_US = 20_000_000;

const plan = (code: Uint8Array): VmPlan => ({
  memoryBytes: MEMORY_BYTES,
  regions: [
    { address: CODE, lengthBytes: 0x1000, rights: 5 },
    { address: DATA, lengthBytes: MEMORY_BYTES - DATA, rights: 3 },
  ],
  load: [{ address: CODE, bytes: code }],
});
const enter = (vm: DriverVm, deadlineUs = LIMIT_US) =>
  vm.run({ entry: { rip: BigInt(CODE), rsp: BigInt(MEMORY_BYTES - 8) }, startsCall: true, deadlineUs });
/** The word that a first run was taken back is held, and comes in place of that about a second one. */
function delayFirstRevocation(): void {
  const { pack } = CellMessageWriter.prototype;
  let first: number | undefined;
  const spy = vi.spyOn(CellMessageWriter.prototype, 'pack').mockImplementation(function (
    this: CellMessageWriter,
    fields,
  ) {
    if (fields.kind !== CellMessage.Revoke) return pack.call(this, fields);
    const { seat = 0 } = fields;
    if (first !== undefined) return pack.call(this, { ...fields, seat: first });
    first = seat;
    // Nobody has a snapshot of this number: it says nothing.
    return pack.call(this, { kind: CellMessage.DropSnapshot, snapshot: 0xffff_ffff });
  });
  onTestFinished(() => spy.mockRestore());
}
const error = (code: string) => expect.objectContaining({ code });

describe.skipIf(noKvm !== undefined)(`cells${noKvm === undefined ? '' : ` (skipped: ${noKvm})`}`, () => {
  const drivers: ProcessDriver[] = [];
  const start = async (options = {}) => {
    const driver = await createProcessDriver({ slots: 1, spareShells: 0, vms: 8, ...options });
    drivers.push(driver);
    return driver;
  };
  afterEach(() => Promise.all(drivers.splice(0).map((driver) => driver.close())));

  test('one that is killed fails what runs in it by name, and no other cell notices', async () => {
    const [victim, other] = [await start(), await start()];
    const [vm, idle] = [await victim.createVm(plan(SPIN)), await victim.createVm(plan(HALT))];
    const neighbour = await other.createVm(plan(HALT));
    const running = enter(vm);
    process.kill(victim.pid, 'SIGKILL');
    await expect(running).rejects.toThrow(error('MAYFLY_ERR_CELL_DIED'));
    expect(victim.ended).toMatchObject({ code: 'MAYFLY_ERR_CELL_DIED' });
    await expect(enter(idle)).rejects.toThrow(error('MAYFLY_ERR_CELL_DIED'));
    expect(() => idle.read(CODE, 1)).toThrow(error('MAYFLY_ERR_CELL_DIED'));
    await expect(victim.createVm(plan(HALT))).rejects.toThrow(error('MAYFLY_ERR_CELL_DIED'));
    await Promise.all([vm.close(), idle.close(), victim.gone]);
    expect(vm.interrupt.dropped).toBe(true);
    expect((await enter(neighbour)).exit).toEqual({ kind: 'halt' });
  });

  test('one that is ended fails what runs in it with the error that it was ended for', async () => {
    const driver = await start();
    const running = enter(await driver.createVm(plan(SPIN)));
    driver.end(new RangeError('not to be trusted'));
    await expect(running).rejects.toThrow('not to be trusted');
    await driver.gone;
    expect(driver.ended).toBeInstanceOf(RangeError);
  });

  test('idles from the end of its last operation, however long that took', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(SPIN));
    const begunMs = performance.now();
    const running = enter(vm, 500_000);
    expect(driver.idleForMs).toBe(0);
    await running;
    const idleMs = driver.idleForMs;
    expect(performance.now() - idleMs - begunMs, 'when it became idle').toBeGreaterThanOrEqual(500);
  });

  test('hears late that a call was taken back, and leaves the next call of its VM alone', async () => {
    const driver = await start();
    const spin = await driver.createVm(plan(SPIN));
    const vm = await driver.createVm(plan(HALT));
    const other = await driver.createVm(plan(HALT));
    delayFirstRevocation();
    const busy = enter(spin);
    const takenBack = enter(vm);
    expect(vm.revoke?.()).toBe(true);
    spin.interrupt.kill();
    await busy;
    // Met in its turn: the word of it is still on its way.
    expect((await takenBack).exit).toEqual({ kind: 'cancelled', by: 'revoke' });
    vm.endCall();
    spin.endCall();
    const busyAgain = enter(spin);
    const next = enter(vm);
    const otherTakenBack = enter(other);
    expect(other.revoke?.()).toBe(true);
    spin.interrupt.kill();
    await busyAgain;
    expect((await next).exit).toEqual({ kind: 'halt' });
    expect((await otherTakenBack).exit).toEqual({ kind: 'cancelled', by: 'revoke' });
  });

  test('one that does not end a run by its deadline is killed', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(SPIN));
    process.kill(driver.pid, 'SIGSTOP');
    await expect(enter(vm, 10_000)).rejects.toThrow(error('MAYFLY_ERR_CELL_HUNG'));
    await driver.gone;
    expect(() => process.kill(driver.pid, 0)).toThrow();
  });

  test('one that does not answer a kill is killed', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(SPIN));
    const running = enter(vm);
    process.kill(driver.pid, 'SIGSTOP');
    expect(vm.interrupt.kill()).toBe(true);
    await expect(running).rejects.toThrow(error('MAYFLY_ERR_CELL_HUNG'));
    await driver.gone;
  });

  test('one that does not answer a read is killed', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(HALT));
    process.kill(driver.pid, 'SIGSTOP');
    expect(() => vm.read(DATA, 8)).toThrow(error('MAYFLY_ERR_CELL_HUNG'));
    await driver.gone;
  });

  test('large stores and reads cross whole', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(HALT));
    const bytes = Uint8Array.from({ length: 300_001 }, (_, i) => i * 7);
    await vm.run({
      entry: { rip: BigInt(CODE) },
      writes: [{ address: DATA + 5, bytes }],
      deadlineUs: LIMIT_US,
    });
    expect(Buffer.compare(vm.read(DATA + 5, bytes.byteLength), bytes)).toBe(0);
    vm.write(DATA + 0x10_0000, bytes);
    expect(Buffer.compare(vm.read(DATA + 0x10_0000, bytes.byteLength), bytes)).toBe(0);
  });

  test('a small store that waits for the next request is in a snapshot', async () => {
    const driver = await start();
    const vm = await driver.createVm(plan(HALT));
    vm.write(DATA, Uint8Array.of(7));
    const clone = await driver.createVmFromSnapshot(await vm.snapshot());
    expect(clone.read(DATA, 1)).toEqual(Uint8Array.of(7));
  });

  test('has room for as many VMs as it was given, and again for one that was closed', async () => {
    const driver = await start({ vms: 1 });
    const vm = await driver.createVm(plan(HALT));
    await expect(driver.createVm(plan(HALT))).rejects.toThrow(error('MAYFLY_ERR_CELL_FULL'));
    await vm.close();
    expect((await enter(await driver.createVm(plan(HALT)))).exit).toEqual({ kind: 'halt' });
  });

  test('whose executable is not there does not start', async () => {
    await expect(createProcessDriver({ executable: '/nowhere/mayfly-cell' })).rejects.toThrow(
      error('MAYFLY_ERR_CELL_START'),
    );
  });

  test('whose executable is another program does not start', async () => {
    await expect(createProcessDriver({ executable: '/bin/false' })).rejects.toThrow(
      error('MAYFLY_ERR_CELL_DIED'),
    );
  });

  test('snapshots are of their cell alone', async () => {
    const [one, other] = [await start(), await start()];
    const snapshot = await (await one.createVm(plan(HALT))).snapshot();
    await expect(other.createVmFromSnapshot(snapshot)).rejects.toThrow(
      error('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH'),
    );
  });
});
