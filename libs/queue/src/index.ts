export * from './attempts.js';
export type { CallClass, CallId } from './call-id.js';
export * from './callbacks.js';
export * from './dead-letters.js';
export * from './gate.js';
export * from './ledger.js';
export * from './usage.js';
