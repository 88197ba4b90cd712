/** What a dashboard is, before any server's format: the generators of this room turn it into theirs. */

/** How values are shown. `perSecond` is a rate of things, `share` a ratio of 0 to 1. */
export type Unit = 'seconds' | 'bytes' | 'count' | 'perSecond' | 'share';

export interface Query {
  /** PromQL. `$__window` is the window of rates. */
  readonly expr: string;
  /** Legend of its series: text with `{{label}}`. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** What to read from it, and when to worry. */
  readonly description: string;
  readonly unit: Unit;
  /** `stat`: the latest value, large. `table`: the latest value of each series, sorted. Default: lines over time. */
  readonly kind?: 'lines' | 'stat' | 'table';
  readonly queries: readonly Query[];
  /** Of 12 columns; default 6. */
  readonly width?: number;
  /** From this value on the panel is yellow, or red. */
  readonly warnAt?: number;
  readonly alarmAt?: number;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** A choice at the top of a dashboard, of the values that a label has. */
export interface Variable {
  readonly name: string;
  readonly title: string;
  readonly metric: string;
  readonly label: string;
}

export interface Dashboard {
  /** Also its file name. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly variables?: readonly Variable[];
  readonly rows: readonly Row[];
}

export interface Alert {
  /** CamelCase, as Prometheus has them. */
  readonly name: string;
  /** What is measured, without its limit: it has a value on a healthy host, too. */
  readonly expr: string;
  readonly comparison: string;
  readonly forMinutes: number;
  readonly severity: 'page' | 'ticket';
  readonly summary: string;
  /** What to do first: one line. */
  readonly runbook: string;
}
