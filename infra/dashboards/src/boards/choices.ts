import { ATTRIBUTES as A, prometheusLabel } from '@mayfly/telemetry';
import type { Variable } from '../definition.js';
import { seriesOf } from '../promql.js';

const metric = seriesOf('functionInvocations');

export const tenantVariable: Variable = {
  name: 'tenant',
  title: 'Tenant',
  metric,
  label: prometheusLabel(A.tenant),
};

export const functionVariable: Variable = {
  name: 'function',
  title: 'Function',
  metric,
  label: prometheusLabel(A.faasName),
};

export const failed = `${prometheusLabel(A.outcome)}!="succeeded"`;
