import { BUSIEST } from '../names/attributes.js';

/** Labels between two looks at who is busiest. */
const RANK_EVERY = 4096;
/** Newcomers that are counted at once; beyond, the quietest half of them is forgotten. */
const MAX_CANDIDATES = 4096;
/** How much busier a newcomer has to be than the one whose place it takes: two that are alike must not alternate. */
const MARGIN = 2;

/**
 * Tells apart the busiest values of a label whose values anybody can make up, such as functions: everything else is
 * "other", so that no tenant can make the number of series grow. Who is busiest is looked at every few thousand
 * labels; activity counts half at each look.
 */
export class Busiest {
  readonly #limit: number;
  readonly #named = new Map<string, number>();
  readonly #candidates = new Map<string, number>();
  #sinceRank = 0;

  /** Called for each value that lost its place, so that its series can be dropped. */
  onDropped: (value: string) => void = () => undefined;

  constructor(limit: number = BUSIEST) {
    this.#limit = limit;
  }

  /** Whether the value is told apart; counts it. */
  names(value: string): boolean {
    this.#sinceRank += 1;
    if (this.#sinceRank >= RANK_EVERY) this.#rank();
    const count = this.#named.get(value);
    if (count !== undefined) {
      this.#named.set(value, count + 1);
      return true;
    }
    if (this.#named.size < this.#limit) {
      this.#named.set(value, 1);
      return true;
    }
    this.#candidates.set(value, (this.#candidates.get(value) ?? 0) + 1);
    if (this.#candidates.size > MAX_CANDIDATES) this.#forgetQuiet();
    return false;
  }

  #rank(): void {
    this.#sinceRank = 0;
    const quietest = [...this.#named].sort((a, b) => a[1] - b[1]);
    const busiest = [...this.#candidates].sort((a, b) => b[1] - a[1]);
    for (const [index, [value, count]] of busiest.entries()) {
      const [loser, loserCount] = quietest[index] ?? [];
      if (loser === undefined || loserCount === undefined || count < MARGIN * (loserCount + 1)) break;
      this.#named.delete(loser);
      this.#named.set(value, count);
      this.#candidates.delete(value);
      this.onDropped(loser);
    }
    halve(this.#named);
    halve(this.#candidates);
    for (const [value, count] of this.#candidates) if (count === 0) this.#candidates.delete(value);
  }

  #forgetQuiet(): void {
    const kept = [...this.#candidates].sort((a, b) => b[1] - a[1]).slice(0, MAX_CANDIDATES / 2);
    this.#candidates.clear();
    for (const [value, count] of kept) this.#candidates.set(value, count);
  }
}

function halve(counts: Map<string, number>): void {
  for (const [value, count] of counts) counts.set(value, count >> 1);
}
