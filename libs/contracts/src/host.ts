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
