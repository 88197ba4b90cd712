import type { KvmKind } from '@mayfly/contracts';
import { gatewayError } from '../errors.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import type { Hosts } from './hosts.js';

const SAMPLE_MS = 500;

/**
 * Whether a worker lives that may run a tenant's calls; the answer is at most half a second old. That no other worker
 * runs them is not decided here but by each worker, from the job.
 */
export class Placement {
  readonly #hosts: Pick<Hosts, 'live'>;
  readonly #policies: TenantPolicies;
  readonly #samples = new Map<KvmKind, { readonly found: Promise<boolean>; readonly atMs: number }>();

  constructor(hosts: Pick<Hosts, 'live'>, policies: TenantPolicies) {
    this.#hosts = hosts;
    this.#policies = policies;
  }

  /** Nothing to wait for where any worker will do. @throws MAYFLY_ERR_GATEWAY_NO_HOST, …_UNAVAILABLE */
  check(tenant: string): Promise<void> | undefined {
    const { requiresKvm } = this.#policies.of(tenant);
    return requiresKvm && this.#find(requiresKvm);
  }

  async #find(kvm: KvmKind): Promise<void> {
    let sample = this.#samples.get(kvm);
    if (sample === undefined || Date.now() - sample.atMs > SAMPLE_MS) {
      sample = { found: this.#look(kvm), atMs: Date.now() };
      this.#samples.set(kvm, sample);
    }
    if (await sample.found) return;
    throw gatewayError('MAYFLY_ERR_GATEWAY_NO_HOST', `no worker on ${kvm} KVM is alive`, {
      details: { kvm },
    });
  }

  async #look(wanted: KvmKind): Promise<boolean> {
    const hosts = await this.#hosts.live();
    return hosts.some(({ kvm }) => kvm === wanted);
  }
}
