/** What stands beneath KVM on a host: the CPU's own virtualisation, or software that the isolation then rests on. */
export const KVM_KINDS = ['hardware', 'software'] as const;
export type KvmKind = (typeof KVM_KINDS)[number];

/** Where a worker's core runs: a jailed process for each tenant, or threads of the worker itself. */
export const ISOLATIONS = ['process', 'thread'] as const;
export type Isolation = (typeof ISOLATIONS)[number];

export const isKvmKind = (value: unknown): value is KvmKind =>
  (KVM_KINDS as readonly unknown[]).includes(value);

export const isIsolation = (value: unknown): value is Isolation =>
  (ISOLATIONS as readonly unknown[]).includes(value);

/** What operators tell a worker: take no more jobs; or that, and let go of those that it has. */
export const HOST_ORDERS = ['cordon', 'drain'] as const;
export type HostOrder = (typeof HOST_ORDERS)[number];

/**
 * What a worker does. `draining`: it takes no jobs, and those that it has may still end; `drained`: it has none.
 * `leaving`: its process shuts down. `dead`: it has not been heard of for `WORKER_ALIVE_MS`; no worker says so itself.
 */
export const HOST_STATES = ['active', 'cordoned', 'draining', 'drained', 'leaving', 'dead'] as const;
export type HostState = (typeof HOST_STATES)[number];

export const isHostOrder = (value: unknown): value is HostOrder =>
  (HOST_ORDERS as readonly unknown[]).includes(value);

export const isHostState = (value: unknown): value is HostState =>
  (HOST_STATES as readonly unknown[]).includes(value);
