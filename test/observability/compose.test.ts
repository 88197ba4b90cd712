import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { dashboards } from '@mayfly/dashboards';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const infra = path.resolve(import.meta.dirname, '../../infra');
const read = (name: string): string => readFileSync(path.join(infra, name), 'utf8');

interface Service {
  readonly image?: string;
  readonly build?: { readonly target: string };
  readonly volumes?: readonly string[];
}
const { services } = parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> };
const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
  volumes.filter((volume) => volume.startsWith('./')).map((volume) => volume.split(':')[0] as string),
);

test('compose starts Mayfly and everything that watches it', () => {
  expect(Object.keys(services).sort()).toEqual(
    ['gateway', 'grafana', 'loki', 'otel-collector', 'prometheus', 'redis', 'tempo', 'worker'].sort(),
  );
});

test.each(mounted)('%s, which a service mounts, is there', (name) => {
  expect(existsSync(path.join(infra, name))).toBe(true);
});

test.each(Object.entries(services))('%s has a pinned image, or a target of the Dockerfile', (_, service) => {
  if (service.build) expect(read('Dockerfile')).toContain(` AS ${service.build.target}\n`);
  else expect(service.image).toMatch(/:v?\d+\.\d+\.\d+/);
});

test("promtool accepts Prometheus' settings with the alert rules beside them", () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mf-promtool-'));
  try {
    copyFileSync(path.join(infra, 'prometheus/prometheus.yaml'), path.join(folder, 'prometheus.yaml'));
    copyFileSync(path.join(infra, 'generated/prometheus/alerts.yaml'), path.join(folder, 'alerts.yaml'));
    const output = execFileSync('promtool', ['check', 'config', path.join(folder, 'prometheus.yaml')], {
      encoding: 'utf8',
    });
    expect(output).toContain('1 rule files found');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('Grafana is given the data source that the dashboards name', () => {
  const { datasources } = parse(read('grafana/provisioning/datasources/mayfly.yaml')) as {
    datasources: { uid: string }[];
  };
  const uids = datasources.map(({ uid }) => uid);
  for (const { uid } of dashboards) {
    const named = read(`generated/grafana/${uid}.json`).matchAll(/"type": "prometheus",\s*"uid": "([^"]+)"/g);
    for (const [, name] of named) expect(uids).toContain(name);
  }
});
