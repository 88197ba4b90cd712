import type { FunctionRef } from '@mayfly/contracts';
import type { Metrics } from '@mayfly/telemetry';
import type { WorkerConfig } from '../config.js';
import type { BuildResult, ImageBuilder } from '../pool/guest-image.js';
import type { SandboxPool } from '../pool/sandbox-pool.js';

/** What the pool holds, looked up at each collection. */
export function observePool(
  metrics: Metrics<'worker'>,
  pool: Pick<SandboxPool, 'use'>,
  config: Pick<WorkerConfig, 'slots' | 'maxSandboxes' | 'maxMemoryBytes'>,
): void {
  const m = metrics.instruments;
  metrics.observe(
    [
      ...(['vmSlots', 'poolSandboxes', 'poolSandboxesLimit', 'poolMemory'] as const),
      ...(['poolMemoryLimit', 'poolVersions'] as const),
    ],
    () => {
      const { sandboxes, leased, busySlots, memoryBytes, versions } = pool.use;
      m.vmSlots.add(busySlots, 'busy');
      m.vmSlots.add(Math.max(0, config.slots - busySlots), 'idle');
      m.poolSandboxes.add(leased, 'leased');
      m.poolSandboxes.add(Math.max(0, sandboxes - leased), 'idle');
      m.poolSandboxesLimit.add(config.maxSandboxes);
      m.poolMemory.add(memoryBytes);
      m.poolMemoryLimit.add(config.maxMemoryBytes);
      m.poolVersions.add(versions);
    },
  );
}

/** An image builder whose builds are counted. */
export function countedBuilder(metrics: Metrics<'worker'>, builder: ImageBuilder): ImageBuilder {
  const { snapshotBuildDuration, snapshotSize } = metrics.instruments;
  return {
    async build(ref: FunctionRef): Promise<BuildResult> {
      const startedMs = performance.now();
      const took = (outcome: string) =>
        snapshotBuildDuration.record((performance.now() - startedMs) / 1000, outcome);
      try {
        const built = await builder.build(ref);
        took(built.ok ? 'succeeded' : built.failure.outcome);
        if (built.ok) snapshotSize.record(built.image.memoryBytes);
        return built;
      } catch (error) {
        took('host-fault');
        throw error;
      }
    },
  };
}
