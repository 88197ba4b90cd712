import { describe, expect, test } from 'vitest';
import { fitsInput } from '../src/call-room.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const INPUT_BYTES = 0x4000;

describe('fitsInput', () => {
  test('says of each length what the library says of the call', async () => {
    const memory = { inputBytes: INPUT_BYTES, outputBytes: 2 * INPUT_BYTES };
    const sandbox = await evolveFake(FUNCTIONS, { memory });
    const answers = new Set<boolean>();
    for (let lengthBytes = INPUT_BYTES - 140; lengthBytes <= INPUT_BYTES; lengthBytes++) {
      const args = [{ type: 'bytes', value: new Uint8Array(lengthBytes) }] as const;
      const fits = fitsInput(INPUT_BYTES, lengthBytes, () => ({ name: 'Echo', args, returns: 'bytes' }));
      const outcome = await sandbox.invoke('Echo', args, 'bytes').then(
        (report) => report.outcome,
        (error: { code?: string }) => error.code,
      );
      expect(outcome).toBe(fits ? 'succeeded' : 'MAYFLY_ERR_CALL_TOO_LARGE');
      answers.add(fits);
    }
    expect(answers.size).toBe(2);
  });

  test('encodes only what the bytes of the arguments leave open', () => {
    const call = (): never => {
      throw new TypeError('not asked for');
    };
    expect(fitsInput(INPUT_BYTES, 0, call)).toBe(true);
    expect(fitsInput(INPUT_BYTES, INPUT_BYTES, call)).toBe(false);
  });
});
