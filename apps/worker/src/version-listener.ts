import { channels, type FunctionRef } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { parseFunctionRef } from './job-parser.js';

export interface VersionListenerOptions {
  /** A connection of its own: one that subscribes can do nothing else. */
  readonly subscriber: Redis;
  readonly onVersion: (ref: FunctionRef) => void;
  readonly onError: (error: unknown) => void;
}

/** Hears of uploaded versions, so that their first call finds them initialised. Missing one costs a slower first call. */
export async function listenForVersions(options: VersionListenerOptions): Promise<void> {
  const { subscriber, onVersion, onError } = options;
  subscriber.on('message', (channel, message) => {
    if (channel !== channels.versions) return;
    try {
      const ref = parseFunctionRef(JSON.parse(message));
      if (ref) onVersion(ref);
    } catch (error) {
      onError(error);
    }
  });
  await subscriber.subscribe(channels.versions);
}
