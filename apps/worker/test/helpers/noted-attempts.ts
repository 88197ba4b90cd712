import type { Attempt } from '@mayfly/contracts';
import type { Attempts, BegunAttempt, EndedAttempt } from '@mayfly/queue';
import { AsyncAttempts } from '../../src/async-attempts.js';

/** Attempts in memory, as `Attempts` of `libs/queue` keeps them in Redis. */
export class NotedAttempts implements Pick<Attempts, 'begin' | 'running' | 'putOff'> {
  /** Invocations that have an end. */
  readonly ended = new Set<string>();
  readonly canceled = new Set<string>();
  readonly putOffs: EndedAttempt[] = [];
  isBroken = false;
  readonly #past = new Map<string, Attempt[]>();
  readonly #numbers = new Map<string, number>();

  async begin({ invocationId }: { invocationId: string }): Promise<BegunAttempt | undefined> {
    if (this.isBroken) throw new Error('Redis');
    if (this.ended.has(invocationId)) return undefined;
    const attempt = (this.#numbers.get(invocationId) ?? 0) + 1;
    this.#numbers.set(invocationId, attempt);
    const past = this.#past.get(invocationId) ?? [];
    const faults = past.filter(({ outcome }) => outcome === 'host-fault').length;
    return { attempt, past, faults, isCanceled: this.canceled.has(invocationId) };
  }

  async running(): Promise<void> {}

  async putOff(next: EndedAttempt): Promise<boolean> {
    this.putOffs.push(next);
    this.#past.set(next.invocationId, [...(this.#past.get(next.invocationId) ?? []), next.ended]);
    return true;
  }
}

export const attemptsOver = (attempts: NotedAttempts) => new AsyncAttempts({ attempts, workerId: 'w1' });
