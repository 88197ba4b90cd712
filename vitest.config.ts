import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{apps,libs}/*/test/**/*.test.ts', 'guests/test/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Two cores and real servers: files side by side would only starve each other's deadlines.
    fileParallelism: false,
  },
});
