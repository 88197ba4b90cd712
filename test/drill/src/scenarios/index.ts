import type { Scenario } from '../scenario.js';
import { blobs } from './blobs.js';
import { blobsDisk } from './blobs-disk.js';
import { clock } from './clock.js';
import { gatewayPoints } from './gateway-points.js';
import { kills, stops } from './kills.js';
import { overload } from './overload.js';
import {
  redisDisk,
  redisHalfOpen,
  redisKillAlways,
  redisKillEverysec,
  redisMemory,
  redisRestart,
} from './redis.js';
import { versions } from './versions.js';

export const SCENARIOS: readonly Scenario[] = [
  kills,
  stops,
  gatewayPoints,
  redisRestart,
  redisKillAlways,
  redisKillEverysec,
  redisMemory,
  redisDisk,
  redisHalfOpen,
  blobs,
  blobsDisk,
  clock,
  overload,
  versions,
];
