/** Who has to act: the caller of the API, the guest's author, or the operator of the host. */
export type Fault = 'caller' | 'guest' | 'host';

export interface ErrorDefinition {
  readonly status: number;
  readonly fault: Fault;
  readonly retryable: boolean;
  /** Whether a sandbox in which this happened must be restored or discarded before its next call. */
  readonly poisons: boolean;
  readonly title: string;
}

/** The base of every error this project throws. Match on `code`, never on the class or the text. */
export class MayflyError extends Error {
  readonly code: string;
  readonly definition: ErrorDefinition;
  /** Plain facts about this occurrence: limit names, values, pointers. Safe to show to the caller. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    definition: ErrorDefinition,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MayflyError';
    this.code = code;
    this.definition = definition;
    this.details = Object.freeze({ ...options.details });
  }
}

/** Makes the `fail` function of one table of errors, so that a code outside the table does not compile. */
export function defineErrors<const T extends Record<string, ErrorDefinition>>(table: T) {
  return (
    code: keyof T & string,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ): MayflyError => new MayflyError(code, table[code] as ErrorDefinition, message, options);
}

export function isMayflyError(error: unknown, code?: string): error is MayflyError {
  return (
    error instanceof Error &&
    'code' in error &&
    'definition' in error &&
    (code === undefined || error.code === code)
  );
}
