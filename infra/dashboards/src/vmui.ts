import type { Dashboard, Unit } from './definition.js';
import { WINDOW } from './promql.js';

const UNITS: Readonly<Record<Unit, string>> = {
  seconds: 's',
  bytes: 'B',
  count: '',
  perSecond: '/s',
  share: '',
};

/** A dashboard of VictoriaMetrics' own web page, where `npm run observe` shows it. It has no choices: all are chosen. */
export function vmuiDashboard({ uid, title, rows }: Dashboard): unknown {
  return {
    title,
    filename: `${uid}.json`,
    // Its page opens the first row only: all panels are in that one.
    rows: [
      {
        title,
        panels: rows
          .flatMap(({ panels }) => panels)
          .map((panel) => ({
            title: panel.title,
            description: panel.description,
            unit: UNITS[panel.unit],
            width: panel.width ?? 6,
            showLegend: true,
            expr: panel.queries.map(({ expr }) => plainQuery(expr)),
            alias: panel.queries.map(({ legend }) => legend),
          })),
      },
    ],
  };
}

/** A query as any PromQL server takes it: a window of a minute, and every value of a choice. */
export const plainQuery = (expr: string): string =>
  expr.replaceAll(WINDOW, '1m').replace(/\$(tenant|function)\b/g, '.*');
