import type { SecretStore } from './secret-store.js';

/** Backstop for an announcement that got lost. */
const FRESH_MS = 5_000;
const MAX_TENANTS = 10_000;

/** Secrets by name, each with the version that holds now. */
type Current = ReadonlyMap<string, number>;

interface Entry {
  readonly loading: Promise<Current>;
  readonly loadedAtMs: number;
  loaded?: Current;
}

/** Which version of a secret a call gets: in memory, so that a call of a function with grants pays no round trip for it. */
export class SecretGrants {
  readonly #store: Pick<SecretStore, 'list'>;
  readonly #entries = new Map<string, Entry>();

  constructor(store: Pick<SecretStore, 'list'>) {
    this.#store = store;
  }

  /**
   * The versions of these secrets, for a job; a name that there is no secret of is left out, and the guest is told so
   * when it asks. At once when they are in memory; undefined for no names.
   * @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE
   */
  of(
    tenant: string,
    names: readonly string[],
  ): Readonly<Record<string, number>> | undefined | Promise<Readonly<Record<string, number>>> {
    if (names.length === 0) return undefined;
    const known = this.#entries.get(tenant);
    if (known !== undefined && Date.now() - known.loadedAtMs < FRESH_MS)
      return known.loaded === undefined
        ? known.loading.then((current) => granted(current, names))
        : granted(known.loaded, names);
    return this.#load(tenant).then((current) => granted(current, names));
  }

  forget(tenant: string): void {
    this.#entries.delete(tenant);
  }

  /** After a lost connection announcements may have been missed. */
  clear(): void {
    this.#entries.clear();
  }

  async #load(tenant: string): Promise<Current> {
    const loading = this.#store
      .list(tenant)
      .then((secrets) => new Map(secrets.map(({ name, versions }) => [name, versions.at(-1)?.version ?? 0])));
    const entry: Entry = { loading, loadedAtMs: Date.now() };
    this.#entries.delete(tenant);
    this.#entries.set(tenant, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_TENANTS && oldest !== undefined) this.#entries.delete(oldest);
    try {
      entry.loaded = await loading;
      return entry.loaded;
    } catch (error) {
      if (this.#entries.get(tenant) === entry) this.#entries.delete(tenant);
      throw error;
    }
  }
}

function granted(current: Current, names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const version = current.get(name);
      return version === undefined ? [] : [[name, version]];
    }),
  );
}
