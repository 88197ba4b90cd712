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
    rows: rows.map((row) => ({
      title: row.title,
      panels: row.panels.map(({ title, description, unit, queries, width = 6 }) => ({
        title,
        description,
        unit: UNITS[unit],
        width,
        showLegend: true,
        expr: queries.map(({ expr }) => plainQuery(expr)),
        alias: queries.map(({ legend }) => legend),
      })),
    })),
  };
}

/** A query as any PromQL server takes it: a window of a minute, and every value of a choice. */
export const plainQuery = (expr: string): string =>
  expr.replaceAll(WINDOW, '1m').replace(/\$(tenant|function)\b/g, '.*');
