import { FlatReader } from './flat-reader.js';

export type GuestLogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** One log record of a guest (guest-abi 8.6). Its texts are the guest's: show them, never trust them. */
export interface GuestLogRecord {
  readonly level: GuestLogLevel;
  readonly message: string;
  /** Module path, or `Unknown`. */
  readonly source: string;
  readonly caller: string;
  readonly sourceFile: string;
  readonly line: number;
}

/** Wire value → level: Critical is an error, None is trace (guest-abi 8.6). */
const LEVELS: readonly GuestLogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'error', 'trace'];

/** @throws MAYFLY_ERR_GUEST_PROTOCOL; the four texts are required (guest-abi 7.3). */
export function decodeGuestLog(bytes: Uint8Array): GuestLogRecord {
  const reader = new FlatReader(bytes, 'GuestLogData');
  const record = reader.root();
  return {
    level: LEVELS[reader.uint8(record, 2)] ?? reader.fail('unknown log level'),
    message: reader.requiredString(record, 0),
    source: reader.requiredString(record, 1),
    caller: reader.requiredString(record, 3),
    sourceFile: reader.requiredString(record, 4),
    line: reader.uint32(record, 5),
  };
}
