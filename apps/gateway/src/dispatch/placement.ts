import type { KvmKind } from '@mayfly/contracts';
import { gatewayError } from '../errors.js';
import type { Hosts } from './hosts.js';

const SAMPLE_MS = 500;

/**
 * Whether a worker lives that may run a tenant's calls; the answer is at most half a second old. That no other worker
 * runs them is not decided here but by each worker, from the job.
 */
export class Placement {
  readonly #hosts: Pick<Hosts, 'live'>;
  readonly #kvm: KvmKind;
  #sample: { readonly found: Promise<boolean>; readonly atMs: number } | undefined;

  constructor(hosts: Pick<Hosts, 'live'>, kvm: KvmKind) {
    this.#hosts = hosts;
    this.#kvm = kvm;
  }

  /** @throws MAYFLY_ERR_GATEWAY_NO_HOST, MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async check(): Promise<void> {
    if (this.#sample === undefined || Date.now() - this.#sample.atMs > SAMPLE_MS)
      this.#sample = { found: this.#look(), atMs: Date.now() };
    if (await this.#sample.found) return;
    throw gatewayError('MAYFLY_ERR_GATEWAY_NO_HOST', `no worker on ${this.#kvm} KVM is alive`, {
      details: { kvm: this.#kvm },
    });
  }

  async #look(): Promise<boolean> {
    const hosts = await this.#hosts.live();
    return hosts.some(({ kvm }) => kvm === this.#kvm);
  }
}
