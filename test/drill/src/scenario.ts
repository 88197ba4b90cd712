import { setTimeout as delay } from 'node:timers/promises';
import { check, type Promises, type Verdict } from './checker.js';
import { Fleet, type FleetOptions } from './fleet.js';
import { History } from './history.js';
import { ask, Load, type LoadOptions, readRecords } from './load.js';

export interface Scenario {
  readonly name: string;
  /** What is done, in a few words. */
  readonly title: string;
  /** @returns a text when it cannot be played here: why. */
  run(options: ScenarioOptions): Promise<Verdict | string>;
}

export interface ScenarioOptions {
  /** How long callers ask while faults happen. */
  readonly seconds: number;
}

/** A fleet under load. */
export interface Stage {
  readonly fleet: Fleet;
  readonly history: History;
  /** Adds to the counts of the verdict. */
  count(name: string, by?: number): void;
  /** A promise that the checker of invocations does not know was broken. */
  broken(what: string): void;
}

export interface Play {
  readonly fleet?: FleetOptions;
  /** Absent: nobody calls but the scenario itself. */
  readonly load?: LoadOptions;
  /** Makes the faults. When it ends, the callers stop. */
  readonly faults: (stage: Stage) => Promise<Partial<Promises>>;
  /** What acknowledged calls get to end in, after the last fault. @defaultValue 60,000 */
  readonly endLimitMs?: number;
}

const DEFAULT_END_LIMIT_MS = 60_000;
const SERVED_LIMIT_MS = 60_000;

/**
 * Plays faults against a fleet under load. Afterwards the fleet must heal: each gateway is ready and serves a call, and
 * every call that was acknowledged has its one end.
 */
export async function play({ fleet: options, load, faults, endLimitMs }: Play): Promise<Verdict> {
  const fleet = await Fleet.start(options);
  const history = new History();
  const extra: Record<string, number> = {};
  const broken: string[] = [];
  const stage: Stage = {
    ...{ fleet, history },
    count: (name, by = 1) => {
      extra[name] = (extra[name] ?? 0) + by;
    },
    broken: (what) => broken.push(what),
  };
  try {
    const callers = load && new Load(fleet, history, load);
    const promises = await faults(stage).finally(() => callers?.stop());
    if (!(await fleet.healed())) broken.push('a gateway is not ready a minute after the last fault');
    await serves(stage);
    await readRecords(fleet, history, endLimitMs ?? DEFAULT_END_LIMIT_MS);
    const verdict = check(history, { guestEntries: await fleet.guestEntries(), ...promises });
    return { counts: { ...extra, ...verdict.counts }, violations: [...broken, ...verdict.violations] };
  } finally {
    await fleet.stop();
  }
}

/** Each gateway answers a sync call with its result, before long. */
async function serves({ fleet, history, count, broken }: Stage): Promise<void> {
  for (const gateway of fleet.gateways.keys()) {
    const deadlineMs = Date.now() + SERVED_LIMIT_MS;
    let tries = 0;
    for (;;) {
      const { answer } = await ask(fleet, history, { lane: 'sync', steps: 1000, gateway });
      if (answer?.kind === 'result') break;
      tries += 1;
      if (Date.now() > deadlineMs) {
        broken(`gateway ${gateway} serves no call after the last fault: ${JSON.stringify(answer)}`);
        break;
      }
      await delay(200);
    }
    if (tries > 0) count('calls refused after the last fault, before one was served', tries);
  }
}

export const between = (lowest: number, highest: number): number =>
  lowest + Math.random() * (highest - lowest);

export function oneOf<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}
