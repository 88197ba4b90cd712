import type { InvocationRecord } from '@mayfly/contracts';
import { ATTRIBUTES as A, type LogData, type ResourceData, unixNs } from '@mayfly/telemetry';
import { startOf } from '../log-tail.js';
import type { GuestCallReport } from '../pool/guest-image.js';
import type { CallTrace } from './call-trace.js';

/** Of one call; what is beyond is counted in a record of its own. */
export const GUEST_LOG_LIMITS = { records: 128, bytes: 32 * 1024, recordBytes: 8 * 1024 } as const;

const NO_OUTPUT = { printed: '', logs: [], logsDropped: 0 };

/**
 * What a guest printed and logged in one call, as log records of its function. The guest ABI has no time stamps for
 * either: all are of the moment when the call ended, in the guest's order.
 */
export function guestLogs(call: {
  readonly record: InvocationRecord;
  /** Absent when no guest ran: then its initialisation may have left a tail. */
  readonly report: GuestCallReport | undefined;
  readonly trace: CallTrace | undefined;
  readonly resource: ResourceData;
}): LogData[] {
  const { record, report, trace, resource } = call;
  const { printed, logs: lines, logsDropped } = report ?? NO_OUTPUT;
  if (printed === '' && lines.length === 0 && logsDropped === 0 && record.logTail === '') return [];
  const common = {
    timeUnixNs: unixNs(record.finishedAtMs),
    resource,
    ...(trace && {
      traceId: trace.traceId,
      spanId: trace.invocationSpanId,
      sampled: record.trace?.sampled === true,
    }),
  };
  const attributes = { [A.faasInvocationId]: record.invocationId, [A.entrypoint]: record.entrypoint };
  const logs: LogData[] = [];
  let bytes = 0;
  let dropped = logsDropped;
  const take = (severity: LogData['severity'], stream: string, text: string) => {
    const body = startOf(text, GUEST_LOG_LIMITS.recordBytes);
    const size = Buffer.byteLength(body);
    if (logs.length >= GUEST_LOG_LIMITS.records || bytes + size > GUEST_LOG_LIMITS.bytes) {
      dropped += 1;
      return;
    }
    bytes += size;
    logs.push({ ...common, severity, body, attributes: { ...attributes, [A.logStream]: stream } });
  };
  for (const line of linesOf(printed)) take('info', 'stdout', line);
  for (const { level, message } of lines) take(level, 'log', message);
  if (report === undefined) for (const line of linesOf(record.logTail)) take('error', 'initialisation', line);
  if (dropped > 0)
    logs.push({
      ...{ ...common, severity: 'warn', body: `Truncated: ${dropped} more records of this call` },
      attributes: { ...attributes, [A.droppedRecords]: dropped },
    });
  return logs;
}

function linesOf(printed: string): string[] {
  const lines = printed.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
