import { isMayflyError } from '@mayfly/contracts';

/** Something that reads bytes of others. */
export interface FuzzTarget {
  /** Folder of its corpus and value of `--only`. */
  readonly name: string;
  readonly format: 'bytes' | 'json';
  /** Longest input that is made. @defaultValue 65,536 */
  readonly maxBytes?: number;
  /**
   * Reads one input and checks what must hold of the answer.
   *
   * @returns a word for what came out, so that inputs with new answers are kept for further mutation.
   * @throws what the code under test throws, or Violation.
   */
  run(input: Uint8Array): string;
  /** Whether an error is a refusal of a known kind. @defaultValue errors of MayflyError's shape */
  isRefusal?(error: unknown): boolean;
}

/** The code under test answered, but what it answered must not be. */
export class Violation extends Error {}

export function must(condition: boolean, what: string): void {
  if (!condition) throw new Violation(what);
}

/** What became of one input. `finding` is set when it is a bug. */
export interface Verdict {
  readonly answer: string;
  readonly finding?: string;
}

export function judge(target: FuzzTarget, input: Uint8Array): Verdict {
  try {
    return { answer: target.run(input) };
  } catch (error) {
    const isRefusal = target.isRefusal?.(error) ?? isMayflyError(error);
    if (isRefusal) return { answer: shapeOf(error as Error) };
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { answer: 'finding', finding: text };
  }
}

/** Name and text without the numbers in it. */
function shapeOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : error.name;
  const details = 'details' in error ? JSON.stringify(error.details) : '';
  return `${code} ${`${error.message} ${details}`.replaceAll(/[0-9a-f]*\d[0-9a-f]*|"[^"]*"/g, '#').slice(0, 120)}`;
}
