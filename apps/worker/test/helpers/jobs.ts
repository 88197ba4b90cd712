import { randomBytes } from 'node:crypto';
import { DEFAULT_MEMORY, type FunctionRef, type InvocationItem, type InvocationJob } from '@mayfly/contracts';

export function functionRef(overrides: Partial<FunctionRef> = {}): FunctionRef {
  return {
    tenant: 'acme',
    name: 'greet',
    version: 1,
    artifactSha256: 'a'.repeat(64),
    artifactBytes: 1000,
    memory: DEFAULT_MEMORY,
    ...overrides,
  };
}

export function invocationItem(overrides: Partial<InvocationItem> = {}): InvocationItem {
  return {
    invocationId: `inv_${randomBytes(16).toString('hex')}`,
    entrypoint: 'Greet',
    input: { kind: 'args', args: [{ type: 'string', value: 'you' }] },
    returns: 'string',
    timeoutMs: 1000,
    acceptedAtMs: Date.now(),
    ...overrides,
  };
}

export function invocationJob(
  items: readonly InvocationItem[],
  overrides: Partial<InvocationJob> = {},
): InvocationJob {
  return { v: 1, function: functionRef(), items, ...overrides };
}

export function replyToken(): string {
  return randomBytes(16).toString('hex');
}
