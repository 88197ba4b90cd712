import { EventEmitter } from 'node:events';
import { channels, type ReadinessReport } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { FunctionRegistry } from './function-registry.js';
import { parseReport } from './readiness-report.js';

/** How workers get on with the versions that they prepare. A report that is missed is found when the function is read. */
export class ReadinessListener {
  readonly #registry: FunctionRegistry;
  readonly #heard = new EventEmitter<{ report: [ReadinessReport]; changed: [string] }>();

  constructor(registry: FunctionRegistry) {
    this.#registry = registry;
    this.#heard.setMaxListeners(0);
  }

  /** @param subscriber of this gateway; it subscribes again by itself after a reconnect. */
  async listen(subscriber: Redis): Promise<void> {
    subscriber.on('message', (channel, message) => {
      if (channel === channels.registry) this.#heard.emit('changed', message);
      if (channel !== channels.ready) return;
      const report = parseReport(message);
      if (report === undefined) return;
      this.#heard.emit('report', report);
      // What is lost here is found when the function is read next.
      this.#registry.report(report).catch(() => undefined);
    });
    await subscriber.subscribe(channels.ready);
  }

  /** @returns ends the listening. */
  onReport(listener: (report: ReadinessReport) => void): () => void {
    this.#heard.on('report', listener);
    return () => this.#heard.off('report', listener);
  }

  /** What is heard first: of the function, or that a host could not prepare the version; `none` after `limitMs`. */
  news(
    { tenant, name, version }: Pick<ReadinessReport, 'tenant' | 'name' | 'version'>,
    limitMs: number,
    signal?: AbortSignal,
  ): Promise<'changed' | 'unavailable' | 'none'> {
    const wanted = `${tenant} ${name}`;
    return new Promise((resolve) => {
      const end = (heard: 'changed' | 'unavailable' | 'none') => {
        clearTimeout(timer);
        this.#heard.off('changed', onChanged);
        this.#heard.off('report', onReport);
        signal?.removeEventListener('abort', abort);
        resolve(heard);
      };
      const abort = () => end('none');
      const onChanged = (message: string) => message === wanted && end('changed');
      const onReport = (report: ReadinessReport) =>
        report.state === 'unavailable' &&
        `${report.tenant} ${report.name}` === wanted &&
        report.version === version &&
        end('unavailable');
      const timer = setTimeout(end, limitMs, 'none');
      this.#heard.on('changed', onChanged);
      this.#heard.on('report', onReport);
      signal?.addEventListener('abort', abort);
      if (signal?.aborted) end('none');
    });
  }
}
