/** At most this many bytes of UTF-8 make a UTF-16 unit. */
const BYTES_PER_UNIT = 3;

/** Decodes no more than it keeps, whatever the length of the bytes. What is not UTF-8 becomes U+FFFD. */
export function decodeCapped(bytes: Uint8Array, maxLength: number): string {
  let end = Math.min(bytes.byteLength, maxLength * BYTES_PER_UNIT);
  // Not in the middle of a character.
  if (end < bytes.byteLength)
    for (let back = 0; back < 3 && end > 0 && ((bytes[end] as number) & 0xc0) === 0x80; back++) end--;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('utf8');
  if (text.length <= maxLength) return text;
  const last = text.charCodeAt(maxLength - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? maxLength - 1 : maxLength);
}
