/** Orders kept. A call whose order is forgotten runs, and its end loses to the `canceled` that is on record. */
const MAX_ORDERS = 10_000;

/**
 * Calls that were canceled before they came here: a job that is fetched in the moment of the order, or waits in the
 * queue, is not begun. Costs a call nothing while nobody cancels.
 */
export class CancelOrders {
  readonly #orders = new Set<string>();

  add(tenant: string, invocationId: string): void {
    const order = `${tenant} ${invocationId}`;
    // The newest last, so that the oldest is forgotten.
    this.#orders.delete(order);
    this.#orders.add(order);
    if (this.#orders.size <= MAX_ORDERS) return;
    for (const oldest of this.#orders) {
      this.#orders.delete(oldest);
      return;
    }
  }

  has(tenant: string, invocationId: string): boolean {
    return this.#orders.size > 0 && this.#orders.has(`${tenant} ${invocationId}`);
  }
}
