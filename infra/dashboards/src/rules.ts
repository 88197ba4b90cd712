import { stringify } from 'yaml';
import type { Alert } from './definition.js';

/** Prometheus' rule file. */
export function ruleFile(alerts: readonly Alert[]): string {
  return stringify({
    groups: [
      {
        name: 'mayfly',
        rules: alerts.map(({ name, expr, comparison, forMinutes, severity, summary, runbook }) => ({
          alert: name,
          expr: `(${expr}) ${comparison}`,
          ...(forMinutes > 0 ? { for: `${forMinutes}m` } : {}),
          labels: { severity },
          annotations: { summary, runbook },
        })),
      },
    ],
  });
}
