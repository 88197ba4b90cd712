import type { Attributes, ResourceData } from '../trace/span-data.js';

export type Severity = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** One log record of a guest, or of the host about it. */
export interface LogData {
  readonly timeUnixNs: bigint;
  readonly severity: Severity;
  readonly body: string;
  readonly attributes: Attributes;
  /** Where it belongs; absent outside of a trace. */
  readonly traceId?: string;
  readonly spanId?: string;
  readonly sampled?: boolean;
  /** Absent: the process's own. */
  readonly resource?: ResourceData;
}
