import { LATEST } from '@mayfly/contracts';

/** Which version a caller means: a number, or what an alias says; neither: the latest. */
export interface Qualifier {
  readonly version?: number | undefined;
  readonly alias?: string | undefined;
}

/** A version's number, the name of an alias, or `latest`; the schema has seen that it is one of them. */
export function parseQualifier(text: string): Qualifier {
  if (/^\d/.test(text)) return { version: Number(text) };
  return text === LATEST ? {} : { alias: text };
}

/** `{function}`, `{function}@{version}` or `{function}:{alias}`; the schema has seen that it is one of them. */
export function parseTarget(target: string): Qualifier & { readonly name: string } {
  const [name = '', qualifier] = target.split(/[@:]/);
  return { name, ...(qualifier !== undefined && parseQualifier(qualifier)) };
}
