/** The direction of imports (docs/architecture.md); an arrow that is not drawn there is an error. */
const only = (name, from, allowed) => ({
  name,
  severity: 'error',
  from: { path: from },
  to: {
    path: '^(apps|libs|infra)/',
    pathNot: allowed.map((place) => (place.endsWith('$') ? `^${place}` : `^${place}/`)),
  },
});

module.exports = {
  forbidden: [
    only('contracts-imports-nothing-of-ours', '^libs/contracts/', ['libs/contracts']),
    only('telemetry-imports-nothing-of-ours', '^libs/telemetry/', ['libs/telemetry']),
    only('blobs', '^libs/blobs/', ['libs/blobs', 'libs/contracts']),
    only('secrets', '^libs/secrets/', ['libs/secrets', 'libs/contracts']),
    only('queue', '^libs/queue/', ['libs/queue', 'libs/contracts']),
    only('native-imports-nothing-of-ours', '^libs/native/', ['libs/native']),
    only('hypervisor', '^libs/hypervisor/', ['libs/hypervisor', 'libs/contracts', 'libs/native']),
    only('dashboards', '^infra/dashboards/', ['infra/dashboards', 'libs/telemetry']),
    only('gateway', '^apps/gateway/', [
      'apps/gateway',
      'libs/contracts',
      'libs/blobs',
      'libs/secrets',
      'libs/queue',
      'libs/telemetry',
      'libs/hypervisor/dist/elf',
      'libs/hypervisor/src/elf',
      'libs/hypervisor/(dist|src)/call-room.(d.ts|js|ts)$',
    ]),
    only('worker', '^apps/worker/', [
      'apps/worker',
      'libs/contracts',
      'libs/blobs',
      'libs/secrets',
      'libs/queue',
      'libs/telemetry',
      'libs/hypervisor',
    ]),
    {
      name: 'native-in-drivers',
      severity: 'error',
      comment: 'Only the drivers over the native core know the addon.',
      from: { path: '^libs/hypervisor/src/', pathNot: '^libs/hypervisor/src/drivers/(kvm|native-|process)' },
      to: { path: '^libs/native/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    doNotFollow: { path: 'node_modules|/dist/|/build/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
};
