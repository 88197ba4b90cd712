import { LIMITS } from '@mayfly/contracts';
import { parseManifest } from '../../../../apps/gateway/dist/uploads/manifest.js';
import { type FuzzTarget, must } from '../target.js';

/** The manifest of an upload. */
export const manifestTarget: FuzzTarget = {
  name: 'manifest',
  format: 'json',
  run: (input) => {
    const {
      entrypoints,
      memory,
      timeoutMs,
      default: main,
    } = parseManifest(Buffer.from(input).toString('utf8'));
    for (const field of ['heapBytes', 'stackBytes', 'inputBytes', 'outputBytes'] as const)
      must(Number.isInteger(memory[field]) && memory[field] <= LIMITS[field], `${field} is over its limit`);
    must(timeoutMs >= 1 && timeoutMs <= LIMITS.timeoutMs, 'the timeout is over its limit');
    must(main === undefined || Object.hasOwn(entrypoints, main), 'the default is no entrypoint');
    const signatures = Object.values(entrypoints);
    must(
      signatures.every(({ params }) => params.length <= LIMITS.parameters),
      'too many parameters',
    );
    return `${signatures.map(({ params, returns }) => `${params}:${returns}`)} ${main === undefined}`;
  },
};
