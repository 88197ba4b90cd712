import { TraceFlags } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { LogData } from '../logs/log-data.js';
import { SCOPES } from '../names/spans.js';
import { hrTime, mutable } from './values.js';

const SEVERITIES = {
  trace: SeverityNumber.TRACE,
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
  fatal: SeverityNumber.FATAL,
} as const;
const SCOPE = { name: SCOPES.guest };

export function readableLog(log: LogData, resource: Resource): ReadableLogRecord {
  const { traceId, spanId } = log;
  const time = hrTime(log.timeUnixNs);
  return {
    hrTime: time,
    hrTimeObserved: time,
    ...(traceId !== undefined &&
      spanId !== undefined && {
        spanContext: {
          traceId,
          spanId,
          traceFlags: log.sampled === true ? TraceFlags.SAMPLED : TraceFlags.NONE,
        },
      }),
    severityText: log.severity.toUpperCase(),
    severityNumber: SEVERITIES[log.severity],
    body: log.body,
    resource,
    instrumentationScope: SCOPE,
    attributes: mutable(log.attributes) as ReadableLogRecord['attributes'],
    droppedAttributesCount: 0,
  };
}
