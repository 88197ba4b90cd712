import { LIMITS } from '@mayfly/contracts';
import type { GuestCallReport } from './pool/guest-image.js';

/**
 * The end of what a guest printed and logged in one call, at most `LIMITS.logTailBytes` of valid UTF-8. Printed text
 * comes first: the two ways out of the guest carry no common order.
 */
export function logTail({ printed, logs }: Pick<GuestCallReport, 'printed' | 'logs'>): string {
  if (printed === '' && logs.length === 0) return '';
  const lines = logs.map(({ level, message }) => `[${level}] ${message}\n`);
  const separator = printed === '' || printed.endsWith('\n') || lines.length === 0 ? '' : '\n';
  return endOf(printed + separator + lines.join(''), LIMITS.logTailBytes);
}

/** The last `limitBytes` of a text's UTF-8, less the rest of a character that the cut went through. */
function endOf(text: string, limitBytes: number): string {
  // Three bytes a UTF-16 unit at most: what is surely too far back is not encoded at all.
  const near = text.slice(-limitBytes);
  const bytes = Buffer.from(near, 'utf8');
  if (bytes.byteLength <= limitBytes) return bytes.toString('utf8');
  let start = bytes.byteLength - limitBytes;
  while (((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.toString('utf8', start);
}

/** The first `limitBytes` of a text's UTF-8, less the character that the cut went through. */
export function startOf(text: string, limitBytes: number): string {
  if (text.length * 3 <= limitBytes) return text;
  const bytes = Buffer.from(text.slice(0, limitBytes), 'utf8');
  if (bytes.byteLength <= limitBytes) return bytes.toString('utf8');
  let end = limitBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
