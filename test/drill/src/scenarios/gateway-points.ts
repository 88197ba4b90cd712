import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ask } from '../load.js';
import { play, type Scenario } from '../scenario.js';

/** More than an async call takes: the run ends at the first point that the gateway outlives. */
const MOST_COMMANDS = 12;

export const gatewayPoints: Scenario = {
  name: 'gateway-points',
  title:
    'a gateway dies before and after each of its commands for an async call: at admission, enqueue, answer',
  run: () => {
    const armed = path.join(tmpdir(), `mf-drill-armed-${process.pid}`);
    const env = { DRILL_ARMED: armed, DRILL_COMMAND: '0', DRILL_WHEN: 'before' };
    return play({
      fleet: { preload: { gateway: 'die-at-command' }, gatewayEnv: env },
      async faults({ fleet, history, count, broken }) {
        const [gateway] = fleet.gateways;
        if (gateway === undefined) return {};
        const call = { lane: 'async', steps: 1000, gateway: 0 } as const;
        for (const when of ['before', 'after'] as const) {
          for (let command = 1; ; command += 1) {
            const up = history.gatewayFault(0);
            await gateway.end('SIGKILL');
            rmSync(armed, { force: true });
            gateway.start({ DRILL_COMMAND: String(command), DRILL_WHEN: when });
            await fleet.ready(0);
            // What a first call looks up once is not the point.
            await fleet.request(0, '/v1/functions/spin');
            writeFileSync(armed, '');
            const { answer } = await ask(fleet, history, call);
            up();
            // It may die a moment after its answer has left, which is a point of its own.
            if (answer?.kind !== 'cut' && !(await gateway.diesWithin(500))) break;
            count(`points at which the gateway died (${when} a command)`);
            if (command === MOST_COMMANDS) {
              broken(`an async call takes ${MOST_COMMANDS} commands or more`);
              break;
            }
          }
        }
        await gateway.end('SIGKILL');
        rmSync(armed, { force: true });
        gateway.start();
        return {};
      },
    });
  },
};
