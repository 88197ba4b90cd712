import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { alerts, dashboards, generatedFiles } from '@mayfly/dashboards';
import { expect, test } from 'vitest';

const infra = path.resolve(import.meta.dirname, '../../infra');
const panels = dashboards.flatMap(({ uid, rows }) =>
  rows.flatMap((row) => row.panels.map((panel) => ({ uid, panel }))),
);

test.each([...generatedFiles()])('infra/%s is what the definition generates', (name, text) => {
  expect(readFileSync(path.join(infra, name), 'utf8')).toBe(text);
});

test.each(panels)('$uid: "$panel.title" says what to read from it', ({ panel }) => {
  expect(panel.description).toMatch(/\.$/);
  expect(panel.queries).not.toHaveLength(0);
  expect(panel.width ?? 6).toBeLessThanOrEqual(12);
});

test('rows are filled', () => {
  for (const { uid, rows } of dashboards)
    for (const { title, panels } of rows) {
      const columns = panels.reduce((sum, { width = 6 }) => sum + width, 0);
      expect(columns % 12, `${uid}: ${title}`).toBe(0);
    }
});

test('every alert has a name of its own and a line of what to do', () => {
  expect(new Set(alerts.map(({ name }) => name)).size).toBe(alerts.length);
  for (const { runbook } of alerts) expect(runbook).toMatch(/\.$/);
});

test('promtool accepts the alert rules', () => {
  const output = execFileSync(
    'promtool',
    ['check', 'rules', path.join(infra, 'generated/prometheus/alerts.yaml')],
    {
      encoding: 'utf8',
    },
  );
  expect(output).toContain(`${alerts.length} rules found`);
});
