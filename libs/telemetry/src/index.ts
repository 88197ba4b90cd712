export * from './names/attributes.js';
export * from './names/metrics.js';
export * from './names/prometheus.js';
export * from './names/spans.js';
