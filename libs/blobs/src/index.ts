export * from './blob-store.js';
export * from './errors.js';
export * from './local-blob-store.js';
