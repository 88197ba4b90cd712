import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

/** The bare KVM exit as a process of its own, asked for samples between ours. */
export class FloorProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(program: string) {
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#reader = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Durations of `count` bare exits in microseconds. */
  async exitsUs(count: number): Promise<number[]> {
    this.#child.stdin?.write(`exit ${count}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new TypeError('the floor program ended');
    return (value as string).split(' ').map((text) => Number(text) / 1000);
  }

  async close(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exited;
    this.#reader.close();
  }
}
