import { expect, test } from 'vitest';
import { logLevelFromFilter } from '../src/index.js';

// guest-abi 4.4.
test.each([
  [undefined, 'error'],
  ['', 'error'],
  ['debug', 'debug'],
  ['TRACE', 'trace'],
  ['off', 'off'],
  ['hyperlight_guest=info', 'info'],
  ['warn,hyperlight_guest=Trace', 'trace'],
  ['hyperlight_host=debug,warn', 'debug'],
  ['hyperlight_host=debug,hyperlight_guest::memory=warn', 'warn'],
  ['tokio=trace,warn', 'warn'],
  ['tokio=trace', 'error'],
  ['hyperlight_guest', 'error'],
  ['hyperlight_guest=', 'error'],
  ['hyperlight_guest=loud', 'error'],
  ['loud', 'error'],
  ['5', 'error'],
])('the filter %s asks for %s', (filter, level) => {
  expect(logLevelFromFilter(filter)).toBe(level);
});
