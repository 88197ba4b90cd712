import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * A disk of its own size, seen by nobody but those that run `under` it: a tmpfs in the mount namespace of a process that
 * ends with this one.
 */
export interface SmallDisk {
  /** Where it is, for who runs under it. */
  readonly folder: string;
  /** Where it is for everybody else. */
  readonly seenFrom: string;
  readonly under: readonly string[];
  /** Leaves no byte free, or as many as said, until `free`. */
  fill(leftBytes?: number): void;
  free(): void;
  close(): Promise<void>;
}

/** @returns why there can be none here. */
export async function makeSmallDisk(bytes: number): Promise<SmallDisk | string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'mf-disk-'));
  const script = `mount -t tmpfs -o size=${bytes} tmpfs "$0" && echo mounted && exec sleep infinity`;
  const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '-m', 'sh', '-c', script, folder], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const close = async () => {
    await ended(holder);
    await rm(folder, { recursive: true, force: true });
  };
  const isMounted = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    once(holder, 'exit').then(() => false),
    once(holder, 'error').then(() => false),
  ]);
  if (!isMounted) {
    await close();
    return 'no file system can be mounted here';
  }
  const seenFrom = path.join(`/proc/${holder.pid}/root`, folder);
  const filler = path.join(seenFrom, 'filler');
  return {
    folder,
    seenFrom,
    under: ['nsenter', '-t', String(holder.pid), '-m', '--'],
    fill: (leftBytes = 0) => {
      // Down to the last page, so that not even a short append finds room.
      for (let size = bytes; size >= 4096; size /= 2) {
        try {
          for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' });
        } catch {
          // It does not fit any more.
        }
      }
      if (leftBytes > 0) truncateSync(filler, Math.max(0, statSync(filler).size - leftBytes));
    },
    free: () => rmSync(filler, { force: true }),
    close,
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
