import { setTimeout as delay } from 'node:timers/promises';
import { play, type Scenario } from '../scenario.js';

/** Two workers of two slots each, and ten times as many callers as that. */
const CALLERS = 40;
const MINUTE_MS = 60_000;
/** A short drill overloads for as long as it does everything else. */
const SHORT_S = 8;

export const overload: Scenario = {
  name: 'overload',
  title:
    'ten times as many callers as the workers have slots, for a minute; then one request to each gateway',
  run: ({ seconds }) =>
    play({
      fleet: { workerEnv: { MAYFLY_WORKER_SLOTS: '2' } },
      load: { callers: CALLERS, asyncShare: 0.2, maxSteps: 20_000_000, pauseMs: 0 },
      async faults() {
        await delay(seconds < SHORT_S ? seconds * 1000 : MINUTE_MS);
        return {};
      },
    }),
};
