import { performance } from 'node:perf_hooks';
import type { Metrics } from './metrics.js';

const MICROSECOND = 1e-6;

/** CPU time, memory and event loop of this process, looked up at each collection. */
export function observeProcess(metrics: Metrics<'gateway'> | Metrics<'worker'>): void {
  const { cpuTime, residentMemory, eventLoopUtilization } = metrics.instruments;
  let last = performance.eventLoopUtilization();
  metrics.observe(['cpuTime', 'residentMemory', 'eventLoopUtilization'], () => {
    const cpu = process.cpuUsage();
    cpuTime.add(cpu.user * MICROSECOND, 'user');
    cpuTime.add(cpu.system * MICROSECOND, 'system');
    residentMemory.add(process.memoryUsage.rss());
    const now = performance.eventLoopUtilization();
    eventLoopUtilization.add(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  });
}
