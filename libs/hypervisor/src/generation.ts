import { randomFillSync } from 'node:crypto';
import type { MemoryWrite } from './driver.js';
import type { GuestLayout } from './memory/layout.js';

/**
 * Where a guest finds its generation: on the page of the PEB, behind it. An extension of the guest ABI, which leaves
 * these bytes alone: `{ u8 id[16]; u64 seed; u64 time_base_ns; u64 flags }`, little endian.
 */
export const GENERATION_OFFSET = 0x100;
const GENERATION_BYTES = 40;
const FLAGS_OFFSET = 32;
const RANDOM_BYTES = 24;
/** In `flags`: the host gathers what the guest tells of its own work. */
const TRACE_FLAG = 1n;
const NS_PER_MS = 1_000_000n;

// One request to the system for many calls.
const pool = Buffer.alloc(RANDOM_BYTES * 128);
let used = pool.byteLength;

function flagsOf(traces: boolean): bigint {
  return traces ? TRACE_FLAG : 0n;
}

/** The flags of one more call of the same clone. */
export function callFlags(layout: GuestLayout, traces: boolean): MemoryWrite {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(flagsOf(traces));
  return { address: layout.peb.address + GENERATION_OFFSET + FLAGS_OFFSET, bytes };
}

/**
 * The store that makes a clone no twin: a fresh id and seed, and the time since 1970. Made before the first instruction
 * that a guest executes after its memory was copied or restored; guests that draw random numbers reseed when the id
 * has changed.
 */
export function freshGeneration(layout: GuestLayout, traces = false): MemoryWrite {
  if (used === pool.byteLength) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.allocUnsafe(GENERATION_BYTES);
  pool.copy(bytes, 0, used, used + RANDOM_BYTES);
  // What was handed out is not kept.
  pool.fill(0, used, used + RANDOM_BYTES);
  used += RANDOM_BYTES;
  bytes.writeBigUInt64LE(BigInt(Date.now()) * NS_PER_MS, RANDOM_BYTES);
  bytes.writeBigUInt64LE(flagsOf(traces), FLAGS_OFFSET);
  return { address: layout.peb.address + GENERATION_OFFSET, bytes };
}
