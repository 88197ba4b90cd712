import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** Random bytes as hex, from a pool: one system call serves some hundred ids. */
function randomHex(lengthBytes: number): string {
  if (used + lengthBytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const hex = pool.toString('hex', used, used + lengthBytes);
  pool.fill(0, used, used + lengthBytes);
  used += lengthBytes;
  return hex;
}

/** `inv_` + 48 bits of milliseconds + 80 random bits, in hex: ids sort by the time they were made. */
export function newInvocationId(nowMs: number): string {
  return `inv_${Math.floor(nowMs).toString(16).padStart(12, '0')}${randomHex(10)}`;
}

export function newBatchId(nowMs: number): string {
  return newInvocationId(nowMs).replace('inv_', 'bat_');
}

/** When an id was made. */
export function invocationTimeMs(invocationId: string): number {
  return Number.parseInt(invocationId.slice(4, 16), 16);
}

/** 128 random bits that a reply must show (contracts/reply). */
export function newReplyToken(): string {
  return randomHex(16);
}
