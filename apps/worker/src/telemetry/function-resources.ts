import type { FunctionRef } from '@mayfly/contracts';
import { ATTRIBUTES as A, type Attributes, type ResourceData } from '@mayfly/telemetry';

const MAX_KEPT = 1_000;

/**
 * Who a function's spans and logs come from: the function as a service, in its tenant's namespace, so that no tenant's
 * choice of name passes for another service. One object per version, since exporters group by identity.
 */
export class FunctionResources {
  readonly #own: Attributes;
  readonly #kept = new Map<string, ResourceData>();

  /** @param own the worker's resource: its host and deployment are the function's, too. */
  constructor(own: Attributes) {
    const { [A.serviceName]: _name, [A.serviceVersion]: _version, ...shared } = own;
    this.#own = shared;
  }

  of(ref: FunctionRef): ResourceData {
    const key = `${ref.tenant} ${ref.name} ${ref.version}`;
    let resource = this.#kept.get(key);
    if (resource === undefined) {
      resource = { attributes: { ...this.#own, ...attributesOf(ref) } };
      if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
      this.#kept.set(key, resource);
    }
    return resource;
  }
}

function attributesOf({ tenant, name, version, memory }: FunctionRef): Attributes {
  const { heapBytes, stackBytes, inputBytes, outputBytes } = memory;
  return {
    [A.serviceNamespace]: tenant,
    [A.serviceName]: name,
    [A.serviceVersion]: String(version),
    [A.faasName]: name,
    [A.faasVersion]: String(version),
    [A.faasMaxMemory]: heapBytes + stackBytes + inputBytes + outputBytes,
    [A.tenant]: tenant,
    [A.cloudResourceId]: `tenant/${tenant}/function/${name}/version/${version}`,
  };
}
