import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DATA_FOLDERS, LIMITS } from '@mayfly/contracts';
import type { Fleet } from '../fleet.js';
import { play, type Scenario, type Stage } from '../scenario.js';
import { makeSmallDisk, type SmallDisk } from '../small-disk.js';

const DISK_BYTES = 16 * 1024 * 1024;
/** Room for the beginning of a guest or of a large input: the write breaks in its midst. */
const TOO_LITTLE_BYTES = 16 * 1024;
/** Does not travel in a job. */
const LARGE_BYTES = 8 * LIMITS.inlineBytes;
const RESULT_LIMIT_MS = 30_000;
/** Insufficient Storage, or a platform that cannot now. */
const REFUSALS = [503, 507];

export const blobsDisk: Scenario = {
  name: 'blobs-disk',
  title: 'the disk of artifacts, large inputs and results is full for a while',
  async run({ seconds }) {
    const disk = await makeSmallDisk(DISK_BYTES);
    if (typeof disk === 'string') return disk;
    try {
      return await play({
        fleet: { under: disk.under, dataDir: disk.folder },
        load: { callers: 4 },
        async faults(stage) {
          await stage.fleet.upload('echo');
          for (const leftBytes of [TOO_LITTLE_BYTES, 0])
            await withoutRoom(stage, { disk, leftBytes, ms: (seconds * 1000) / 4 });
          const taken = await stage.fleet.offer(0, 'hello');
          if (taken.status !== 201) stage.broken(`with room again: an upload was answered ${taken.status}`);
          for (const gateway of stage.fleet.gateways.keys()) await largeCalls(stage, gateway);
          return {};
        },
      });
    } finally {
      await disk.close();
    }
  },
};

interface Shortage {
  readonly disk: SmallDisk;
  readonly leftBytes: number;
  /** How long small calls go on without room. */
  readonly ms: number;
}

async function withoutRoom(stage: Stage, { disk, leftBytes, ms }: Shortage): Promise<void> {
  const { fleet, history, count, broken } = stage;
  disk.fill(leftBytes);
  count('times the disk was full');
  const before = history.entries.length;
  for (const gateway of fleet.gateways.keys()) {
    await refused(stage, 'an upload', await fleet.offer(gateway, 'hello'));
    const { status } = await fleet.request(gateway, '/v1/functions/hello');
    if (status !== 404) broken(`a function whose upload was refused is answered ${status}`);
    const input = randomBytes(LARGE_BYTES);
    await refused(stage, 'a large sync input', await echo(fleet, gateway, input));
    await refused(stage, 'a large async input', await echo(fleet, gateway, input, 'respond-async'));
  }
  await delay(ms);
  for (const what of await unsound(path.join(disk.seenFrom, DATA_FOLDERS.blobs))) broken(what);
  const asked = history.entries.slice(before).filter(({ answer }) => answer !== undefined);
  disk.free();
  for (const { answer } of asked)
    if (answer?.kind !== 'result' && answer?.kind !== 'accepted')
      broken(`a small call, while there was no room, was answered ${JSON.stringify(answer)}`);
  if (asked.length === 0) broken('no small call was answered while there was no room');
  count('small calls answered without room', asked.length);
}

async function refused({ count, broken }: Stage, what: string, response: Response): Promise<void> {
  const text = await response.text();
  const { code } = (text.startsWith('{') ? JSON.parse(text) : {}) as { code?: unknown };
  if (REFUSALS.includes(response.status) && typeof code === 'string')
    count(`${what}: ${response.status} ${code}`);
  else broken(`${what} without room was answered ${response.status} ${text.slice(0, 200)}`);
}

/** Large bytes there and back, for who waits and for who asks later. */
async function largeCalls({ fleet, count, broken }: Stage, gateway: number): Promise<void> {
  const input = randomBytes(LARGE_BYTES);
  const waited = await echo(fleet, gateway, input);
  const accepted = await echo(fleet, gateway, input, 'respond-async');
  const id = accepted.headers.get('invocation-id');
  const deadlineMs = Date.now() + RESULT_LIMIT_MS;
  const read = () => fleet.request(gateway, `/v1/invocations/${id}/result`);
  let later = await read();
  while (later.status === 202 && Date.now() < deadlineMs) {
    await delay(100);
    later = await read();
  }
  for (const response of [waited, later]) {
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.status === 200 && bytes.equals(input)) count('large calls after that');
    else broken(`with room again: a large input was answered ${response.status}, ${bytes.length} bytes`);
  }
}

function echo(fleet: Fleet, gateway: number, input: Buffer, prefer?: 'respond-async'): Promise<Response> {
  return fleet.request(gateway, '/invoke/echo', {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', ...(prefer && { prefer }) },
    body: new Uint8Array(input),
  });
}

/** What of a blob store a reader could take for a whole blob and is none, and what was begun and left behind. */
async function unsound(folder: string): Promise<string[]> {
  const found: string[] = [];
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const { parentPath, name } of files.filter((entry) => entry.isFile())) {
    const file = path.join(parentPath, name);
    const bytes = await readFile(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (sha256 !== name) found.push(`half written: ${path.relative(folder, file)}, ${bytes.length} bytes`);
  }
  return found;
}
