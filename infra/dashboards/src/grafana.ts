import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  DashboardBuilder,
  DashboardLinkBuilder,
  DashboardLinkType,
  type Panel as GrafanaPanel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as LinesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import type { Dashboard, Panel, Unit } from './definition.js';
import { WINDOW } from './promql.js';

const UNITS: Readonly<Record<Unit, string>> = {
  seconds: 's',
  bytes: 'bytes',
  count: 'short',
  perSecond: 'cps',
  share: 'percentunit',
};
/** Grafana has 24 columns, the definition 12. */
const COLUMNS = 2;
const HEIGHTS = { stat: 4, lines: 8, table: 8 } as const;
/** The data source of `infra/grafana/provisioning`. */
const DATASOURCE = { type: 'prometheus', uid: 'mayfly-metrics' };
const TAG = 'mayfly';

/** Grafana's JSON of a dashboard. */
export function grafanaDashboard({ uid, title, description, variables = [], rows }: Dashboard): unknown {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .refresh('10s')
    .time({ from: 'now-30m', to: 'now' })
    .timezone('browser')
    .link(
      new DashboardLinkBuilder('Mayfly')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    );
  for (const { name, title: label, metric, label: ofLabel } of variables)
    builder.withVariable(
      new QueryVariableBuilder(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(`label_values(${metric}, ${ofLabel})`)
        .multi(true)
        .includeAll(true)
        .allValue('.*'),
    );
  let id = 0;
  const nextId = (): number => {
    id += 1;
    return id;
  };
  for (const row of rows) {
    builder.withRow(new RowBuilder(row.title).id(nextId()));
    for (const panel of row.panels) builder.withPanel(grafanaPanel(panel, nextId()));
  }
  return builder.build();
}

function grafanaPanel(panel: Panel, id: number): Builder<GrafanaPanel> {
  const { kind = 'lines', title, description, unit, queries, width = 6, warnAt, alarmAt } = panel;
  const builder = {
    lines: () => new LinesBuilder(),
    stat: () => new StatBuilder(),
    table: () => new TableBuilder(),
  }[kind]();
  builder
    .id(id)
    .title(title)
    .description(description)
    .unit(UNITS[unit])
    .datasource(DATASOURCE)
    .span(width * COLUMNS)
    .height(HEIGHTS[kind])
    .min(0);
  if (unit === 'share' && builder instanceof LinesBuilder) builder.max(1);
  if (warnAt !== undefined || alarmAt !== undefined)
    builder.thresholds(
      new ThresholdsConfigBuilder()
        .mode(ThresholdsMode.Absolute)
        .steps([
          { value: null, color: 'green' },
          ...(warnAt === undefined ? [] : [{ value: warnAt, color: 'orange' }]),
          ...(alarmAt === undefined ? [] : [{ value: alarmAt, color: 'red' }]),
        ]),
    );
  for (const { expr, legend } of queries) {
    const query = new DataqueryBuilder()
      .expr(expr.replaceAll(WINDOW, '$__rate_interval'))
      .legendFormat(legend);
    builder.withTarget(kind === 'table' ? query.instant() : query);
  }
  return builder;
}
