import { setTimeout as delay } from 'node:timers/promises';
import { between, oneOf, play, type Scenario } from '../scenario.js';

/** Longer than a job's lock lasts. */
const PAST_THE_LOCK_MS = 12_000;
const LOAD = { callers: 8 };

export const kills: Scenario = {
  name: 'kills',
  title: 'gateways and workers are killed at random, and started again',
  run: ({ seconds }) =>
    play({
      load: LOAD,
      async faults({ fleet, history, count }) {
        const untilMs = Date.now() + seconds * 1000;
        const starting = new Set<Promise<void>>();
        while (Date.now() < untilMs) {
          await delay(between(300, 1500));
          const member = oneOf(fleet.members);
          const gateway = fleet.gateways.indexOf(member);
          // One that was just killed is left to start.
          if (gateway >= 0 && history.isDown(gateway)) continue;
          const up = gateway >= 0 ? history.gatewayFault(gateway) : undefined;
          await member.end('SIGKILL');
          count(gateway >= 0 ? 'gateways killed' : 'workers killed');
          await delay(between(0, 300));
          member.start();
          if (up === undefined) continue;
          const started = fleet.listens(gateway).then(up);
          starting.add(started);
        }
        await Promise.all(starting);
        return {};
      },
    }),
};

export const stops: Scenario = {
  name: 'stops',
  title: 'a worker and a gateway stand still past the locks of their jobs, and go on',
  run: () =>
    play({
      load: LOAD,
      async faults({ fleet, history, count }) {
        const [worker] = fleet.workers;
        const [gateway] = fleet.gateways;
        await delay(2_000);
        worker?.process.child.kill('SIGSTOP');
        await delay(PAST_THE_LOCK_MS);
        worker?.process.child.kill('SIGCONT');
        count('workers stopped and continued');
        await delay(2_000);
        const goesOn = history.gatewayFault(0);
        gateway?.process.child.kill('SIGSTOP');
        await delay(PAST_THE_LOCK_MS);
        gateway?.process.child.kill('SIGCONT');
        goesOn();
        count('gateways stopped and continued');
        await delay(3_000);
        return {};
      },
    }),
};
