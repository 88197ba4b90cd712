import { getSystemErrorName } from 'node:util';

/** Layers of a cell's jail, in the order of `src/jail/layers.hpp`: their index is their place in a report. */
export const JAIL_LAYERS = [
  'pid-namespace',
  'descriptors',
  'mount-namespace',
  'net-namespace',
  'ipc-namespace',
  'uts-namespace',
  'limits',
  'own-user',
  'user-namespace',
  'no-capabilities',
  'no-new-privileges',
  'not-dumpable',
  'seccomp',
] as const;
export type JailLayer = (typeof JAIL_LAYERS)[number];

export interface JailReport {
  readonly inPlace: readonly JailLayer[];
  /** What this host does not allow. `reason`: the name of the kernel's error, or `not asked for`. */
  readonly missing: readonly { readonly layer: JailLayer; readonly reason: string }[];
}

const ENTRY_BYTES = 4;
const IN_PLACE = 0;
const MOST_ERRNO = 4095;

/** Reads what a cell says of its jail in its first message; undefined when it is no report. */
export function readJailReport(body: Uint8Array): JailReport | undefined {
  if (body.byteLength !== JAIL_LAYERS.length * ENTRY_BYTES) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const states = JAIL_LAYERS.map((layer, index) => ({
    layer,
    state: view.getInt32(index * ENTRY_BYTES, true),
  }));
  if (states.some(({ state }) => state < -1 || state > MOST_ERRNO)) return undefined;
  return {
    inPlace: states.filter(({ state }) => state === IN_PLACE).map(({ layer }) => layer),
    missing: states
      .filter(({ state }) => state !== IN_PLACE)
      .map(({ layer, state }) => ({
        layer,
        reason: state > 0 ? getSystemErrorName(-state) : 'not asked for',
      })),
  };
}
