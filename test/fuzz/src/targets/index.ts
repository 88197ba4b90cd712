import type { FuzzTarget } from '../target.js';
import { abortTarget } from './abort.js';
import { hostCallTarget, logTarget, resultTarget } from './codec.js';
import { elfTarget } from './elf.js';
import { ioBuffersTarget } from './io-buffers.js';
import { jobTarget } from './job.js';
import { manifestTarget } from './manifest.js';
import { replyTarget } from './reply.js';
import { traceTarget } from './trace.js';

/** Every reader of bytes that guests, uploads, jobs and workers send. */
export const TARGETS: readonly FuzzTarget[] = [
  elfTarget,
  resultTarget,
  hostCallTarget,
  logTarget,
  ioBuffersTarget,
  abortTarget,
  traceTarget,
  jobTarget,
  replyTarget,
  manifestTarget,
];
