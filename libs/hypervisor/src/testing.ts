export {
  createFakeDriver,
  type FakeDriverOptions,
  type FakeProgram,
  type FakeStep,
} from './drivers/fake.js';
export { FakeMachine, GuestException } from './drivers/fake-machine.js';
export { type BuiltElf, buildElf, type ElfParts } from './testing/elf-builder.js';
export {
  createFakeGuest,
  type FakeGuest,
  type FakeGuestContext,
  type FakeGuestFunction,
  type FakeGuestOptions,
} from './testing/fake-guest.js';
export { encodeTraceBatch, type TraceBatchEntry } from './testing/trace-batch.js';
