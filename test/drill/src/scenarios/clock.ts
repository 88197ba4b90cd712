import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { play, type Scenario } from '../scenario.js';

const HOUR_MS = 3_600_000;

export const clock: Scenario = {
  name: 'clock',
  title: 'the clocks of one gateway and one worker step an hour ahead, then an hour back',
  async run({ seconds }) {
    const folder = await mkdtemp(path.join(tmpdir(), 'mf-clock-'));
    const file = path.join(folder, 'shift');
    try {
      return await play({
        fleet: {
          preload: { gateway: 'shift-clock', worker: 'shift-clock' },
          env: { DRILL_CLOCK: `${file}-none` },
        },
        load: { callers: 8 },
        async faults({ fleet, history, count }) {
          const up = history.gatewayFault(0);
          for (const member of [fleet.gateways[0], fleet.workers[0]]) {
            await member?.end('SIGTERM');
            member?.start({ DRILL_CLOCK: file });
          }
          await fleet.listens(0);
          up();
          for (const shiftMs of [HOUR_MS, -HOUR_MS, 0]) {
            await delay((seconds * 1000) / 4);
            await writeFile(file, String(shiftMs));
            count('times the clocks were set');
          }
          await delay((seconds * 1000) / 4);
          return {};
        },
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
