import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DATA_FOLDERS } from '@mayfly/contracts';
import type { Fleet } from '../fleet.js';
import { ask } from '../load.js';
import { play, type Scenario, type Stage } from '../scenario.js';

type Damage = (file: string, bytes: Buffer) => Promise<void>;

const DAMAGES: Readonly<Record<string, Damage>> = {
  missing: (file) => rm(file),
  truncated: (file, bytes) => writeFile(file, bytes.subarray(0, bytes.length / 2)),
  flipped: (file, bytes) => {
    const flipped = Buffer.from(bytes);
    const middle = Math.floor(bytes.length / 2);
    flipped.writeUInt8(flipped.readUInt8(middle) ^ 1, middle);
    return writeFile(file, flipped);
  },
};

export const blobs: Scenario = {
  name: 'blobs',
  title: 'the artifact of a function is missing, truncated, flipped by a bit, when workers start',
  run: () =>
    play({
      async faults(stage) {
        for (const [name, damage] of Object.entries(DAMAGES)) await play1(stage, name, damage);
        return {};
      },
    }),
};

/** Workers start without the artifact's bytes, then with them. */
async function play1({ fleet, history, count, broken }: Stage, name: string, damage: Damage): Promise<void> {
  const file = await artifactOf(fleet);
  const bytes = await readFile(file);
  await restartWorkers(fleet, () => damage(file, bytes));
  for (const gateway of fleet.gateways.keys()) {
    const { answer } = await ask(fleet, history, { lane: 'sync', steps: 1000, gateway });
    if (answer?.kind !== 'problem') broken(`${name}: answered ${JSON.stringify(answer)}`);
    else count(`${name}: ${answer.status} ${answer.code}`);
  }
  await restartWorkers(fleet, () => writeFile(file, bytes));
  const { answer } = await ask(fleet, history, { lane: 'sync', steps: 1000, gateway: 0 });
  if (answer?.kind !== 'result') broken(`${name}, and mended: answered ${JSON.stringify(answer)}`);
}

async function restartWorkers(fleet: Fleet, meanwhile: () => Promise<void>): Promise<void> {
  await Promise.all(fleet.workers.map((worker) => worker.end('SIGTERM')));
  await meanwhile();
  for (const worker of fleet.workers) worker.start();
  await fleet.healed();
}

/** The only blob of the fleet's tenant. */
async function artifactOf(fleet: Fleet): Promise<string> {
  const folder = path.join(fleet.dataDir, DATA_FOLDERS.blobs, 'objects');
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const blob = files.find((entry) => entry.isFile());
  if (blob === undefined) throw new Error('there is no artifact');
  return path.join(blob.parentPath, blob.name);
}
