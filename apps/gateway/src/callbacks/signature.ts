import { createHmac } from 'node:crypto';

export interface Message {
  readonly id: string;
  /** Of the attempt, not of the event: receivers refuse what is old. */
  readonly timestampS: number;
  readonly body: string;
}

/** Headers of a message, signed as Standard Webhooks 1.0 has it: a signature for each secret that holds. */
export function signedHeaders(
  { id, timestampS, body }: Message,
  secrets: readonly Uint8Array[],
): Record<string, string> {
  const signed = `${id}.${timestampS}.${body}`;
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`,
  );
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signatures.join(' '),
  };
}
