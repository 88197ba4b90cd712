import { onTestFinished } from 'vitest';
import { loadSandbox, type Sandbox, type SandboxOptions, type UninitializedSandbox } from '../src/index.js';
import {
  createFakeDriver,
  createFakeGuest,
  type FakeGuestFunction,
  type FakeGuestOptions,
} from '../src/testing.js';

/** Loads a scripted guest over the fake driver; everything is closed when the test ends. */
export async function loadFake(
  guest: FakeGuestOptions,
  options?: SandboxOptions,
): Promise<UninitializedSandbox> {
  const { elf, program } = createFakeGuest(guest);
  const driver = createFakeDriver({ program: () => program });
  onTestFinished(() => driver.close());
  return await loadSandbox(driver, elf, options);
}

export async function evolveFake(
  functions: Readonly<Record<string, FakeGuestFunction>>,
  options?: SandboxOptions,
): Promise<Sandbox> {
  return await (await loadFake({ functions }, options)).evolve();
}

/** Functions that many tests use. */
export const FUNCTIONS = {
  Echo: ([value]) => ({ ok: true, value: value ?? { type: 'void' } }),
  Fail: () => ({ ok: false, code: 15n, message: 'no luck' }),
  *Spin() {
    for (;;) yield { kind: 'spin' };
  },
  /** Counts in guest memory, so that state that stays shows. */
  Count: (_args, { machine }) => {
    const heap = machine.plan.regions[5]?.address as number;
    const count = machine.readWord(heap) + 1n;
    machine.writeWord(heap, count);
    return { ok: true, value: { type: 'long', value: count } };
  },
  *CallHost(args, guest) {
    const [name, ...rest] = args;
    return yield* guest.callHost(name?.type === 'string' ? name.value : '', rest, 'int');
  },
  *Abort([code, message], guest) {
    return yield* guest.abort(
      code?.type === 'int' ? code.value : 0,
      message?.type === 'string' ? message.value : '',
    );
  },
} satisfies Record<string, FakeGuestFunction>;
