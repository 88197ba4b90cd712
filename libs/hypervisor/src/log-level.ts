/** In order of verbosity; the index is what the guest gets (guest-abi 4.4). */
export const LOG_LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Targets whose directive counts, the first one found first. */
const TARGETS = ['hyperlight_guest', 'hyperlight_host'];

/**
 * The guest's log level that a filter such as `info,hyperlight_guest=debug` asks for, by the rules of guest-abi 4.4:
 * the directive of the guest, else of the host, else the first one without a target.
 *
 * @param filter the value of RUST_LOG @returns `error` for no filter, and for one that names no level
 */
export function logLevelFromFilter(filter: string | undefined): LogLevel {
  const directives = (filter ?? '').split(',');
  const text = directiveOf(directives) ?? directives.find((item) => !item.includes('='));
  const level = text?.trim().toLowerCase();
  return LOG_LEVELS.find((name) => name === level) ?? 'error';
}

function directiveOf(directives: readonly string[]): string | undefined {
  for (const target of TARGETS) {
    const item = directives.find((candidate) => candidate.includes(target));
    // As in the reference, a directive without `=` names no level, and no other directive is asked.
    if (item !== undefined) return item.includes('=') ? item.slice(item.indexOf('=') + 1) : '';
  }
  return undefined;
}
