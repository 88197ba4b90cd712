import { alerts } from './alerts.js';
import { functions } from './boards/function.js';
import { overview } from './boards/overview.js';
import { queue } from './boards/queue.js';
import { tenants } from './boards/tenant.js';
import { workers } from './boards/worker.js';
import type { Dashboard } from './definition.js';
import { grafanaDashboard } from './grafana.js';
import { ruleFile } from './rules.js';
import { vmuiDashboard } from './vmui.js';

export * from './definition.js';
export { ruleFile } from './rules.js';
export { plainQuery } from './vmui.js';
export { alerts };

export const dashboards: readonly Dashboard[] = [overview, functions, tenants, workers, queue];

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Every generated file, by its path below `infra/`. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ...dashboards.map(
      (board) => [`generated/grafana/${board.uid}.json`, json(grafanaDashboard(board))] as const,
    ),
    ...dashboards.map(
      (board, index) =>
        [`generated/victoriametrics/${index + 1}-${board.uid}.json`, json(vmuiDashboard(board))] as const,
    ),
    ['generated/prometheus/alerts.yaml', ruleFile(alerts)] as const,
  ]);
}
