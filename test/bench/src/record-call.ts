import { readFile, writeFile } from 'node:fs/promises';
import type { TypedValue } from '@mayfly/contracts';
import {
  createKvmDriver,
  type DriverVm,
  entryRegisters,
  GENERAL_REGISTERS,
  type HypervisorDriver,
  loadSandbox,
  type MemoryWrite,
  type PrimeRequest,
  type RunRequest,
  type VmPlan,
} from '@mayfly/hypervisor';

/** Bytes of the output buffer that a replayed call must reproduce: its header and the first element. */
const OUTPUT_BYTES = 256;

interface Recording {
  plan?: VmPlan;
  readonly requests: RunRequest[];
  /** The warm snapshot that was taken, if one was: then the call has no entry. */
  prime?: PrimeRequest;
  output?: Uint8Array;
}

/** Runs a call through the library over a driver that notes what it is asked, and writes that down for C++. */
export async function recordCall(
  elfFile: string,
  entrypoint: string,
  argument: TypedValue,
  file: string,
): Promise<void> {
  const driver = await createKvmDriver({ slots: 1 });
  const recording: Recording = { requests: [] };
  try {
    const loaded = await loadSandbox(recorded(driver, recording), await readFile(elfFile));
    const sandbox = await loaded.evolve();
    const report = await sandbox.invoke(entrypoint, [argument], 'string');
    if (report.outcome !== 'succeeded') throw new TypeError(`the recorded call ended in ${report.outcome}`);
  } finally {
    await driver.close();
  }
  await writeFile(file, serialise(recording));
}

function recorded(driver: HypervisorDriver, recording: Recording): HypervisorDriver {
  return {
    name: driver.name,
    async createVm(plan) {
      // The loader may reuse its buffers after the creation.
      recording.plan = { ...plan, load: plan.load.map(copyWrite) };
      return recordedVm(await driver.createVm(plan), recording);
    },
    createVmFromSnapshot: (snapshot) => driver.createVmFromSnapshot(snapshot),
    close: () => driver.close(),
  };
}

function recordedVm(vm: DriverVm, recording: Recording): DriverVm {
  return new Proxy(vm, {
    get(target, property) {
      if (property === 'run') {
        return async (request: RunRequest) => {
          const note = { ...request, writes: (request.writes ?? []).map(copyWrite) };
          const answer = await target.run(request);
          recording.requests.push(note);
          const place = recording.plan?.outputBuffer;
          if (place) recording.output = target.read(place.address, OUTPUT_BYTES).slice();
          return answer;
        };
      }
      if (property === 'primeSnapshot') {
        return async (request: PrimeRequest) => {
          const snapshot = await target.primeSnapshot?.(request);
          if (snapshot !== undefined) recording.prime = request;
          return snapshot;
        };
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const copyWrite = ({ address, bytes }: MemoryWrite): MemoryWrite => ({ address, bytes: bytes.slice() });

function serialise({ plan, requests, prime, output }: Recording): Buffer {
  const [initialisation, call] = [requests[0], requests.at(-1)];
  if (!plan?.outputBuffer || !initialisation || !call || !output) throw new TypeError('nothing was recorded');
  const parts: Buffer[] = [];
  const word = (value: number | bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    parts.push(buffer);
  };
  const store = ({ address, bytes }: MemoryWrite) => {
    word(address);
    word(bytes.byteLength);
    parts.push(Buffer.from(bytes));
  };
  const stores = (all: readonly MemoryWrite[]) => {
    word(all.length);
    all.forEach(store);
  };
  const request = ({ entry, writes }: Pick<RunRequest, 'entry' | 'writes'>) => {
    const registers = entryRegisters(entry);
    for (const name of GENERAL_REGISTERS) word(registers[name]);
    stores(writes ?? []);
  };
  word(plan.memoryBytes);
  word(plan.regions.length);
  for (const { address, lengthBytes, rights } of plan.regions) [address, lengthBytes, rights].forEach(word);
  word(plan.outputBuffer.address);
  word(plan.outputBuffer.lengthBytes);
  word(plan.ring0?.pageTablesBytes ?? 0);
  stores(plan.load);
  request(initialisation);
  request(call);
  const untouched = call.entry === undefined ? (prime?.untouched ?? []) : [];
  request({ entry: prime?.entry ?? {} });
  word(untouched.length);
  for (const { address, lengthBytes } of untouched) [address, lengthBytes].forEach(word);
  store({ address: plan.outputBuffer.address, bytes: output });
  return Buffer.concat(parts);
}
