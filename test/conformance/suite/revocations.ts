import type { DriverVm } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import type { Kit, WholeVm } from '../kit.js';
import { PLACE } from '../program.js';
import * as programs from '../programs.js';

/** What is taken back before it began. */
export function revocationsSuite(kit: Kit): void {
  const { create, enter, goOn, firstWord } = kit;

  /** A VM that spins, and one of its slot whose run waits behind it. */
  async function waitingBehind(): Promise<{ busy: DriverVm; waiting: WholeVm }> {
    const busy = await create(programs.SPIN);
    for (;;) {
      const waiting = (await create(programs.COUNT_ASK_COUNT)) as WholeVm;
      if (waiting.slot === busy.slot) return { busy, waiting };
    }
  }

  describe('a revocation', () => {
    test('takes back a call that has not begun, and its VM is as it was', async () => {
      const { busy, waiting } = await waitingBehind();
      expect(waiting.revoke()).toBe(false);
      const spinning = enter(busy, {}, { startsCall: true });
      const called = enter(waiting, {}, { startsCall: true });
      expect(waiting.revoke()).toBe(true);
      expect(waiting.revoke()).toBe(false);
      expect((await called).exit).toEqual({ kind: 'cancelled', by: 'revoke' });
      waiting.endCall();
      busy.interrupt.kill();
      await spinning;
      expect(firstWord(waiting)).toBe(0n);
      expect((await enter(waiting)).exit).toMatchObject({ kind: 'io-out' });
      expect(firstWord(waiting)).toBe(1n);
    });

    test('leaves a call that has begun, and a run outside a call', async () => {
      const { busy, waiting } = await waitingBehind();
      await enter(waiting, {}, { startsCall: true });
      const spinning = enter(busy, {}, { startsCall: true });
      const goingOn = goOn(waiting);
      expect(waiting.revoke()).toBe(false);
      busy.interrupt.kill();
      await spinning;
      busy.endCall();
      expect((await goingOn).exit).toEqual({ kind: 'halt' });
      waiting.endCall();

      const again = enter(busy, {}, { startsCall: true });
      const outside = enter(waiting, { rip: BigInt(PLACE.code) });
      expect(waiting.revoke()).toBe(false);
      busy.interrupt.kill();
      await again;
      expect((await outside).exit).toMatchObject({ kind: 'io-out' });
    });
  });
}
