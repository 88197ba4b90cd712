import {
  CELL_LIMITS,
  CellMessage,
  cellRanges,
  Op,
  packRegisters,
  packSpecialRegisters,
  type RequestWriter,
  readRegisters,
  readSpecialRegisters,
  StateKind,
  stateBytes,
} from '@mayfly/native';
import type {
  AddressRange,
  DriverInterrupt,
  DriverSnapshot,
  DriverVm,
  GeneralRegisters,
  MemoryWrite,
  PrimeRequest,
  RunAnswer,
  RunRequest,
} from '../../driver.js';
import { hypervisorError } from '../../errors.js';
import { type FpuState, fpuStateOf, fxsaveImage } from '../../fpu-state.js';
import type { SpecialRegisters } from '../../registers.js';
import { requireWhole, requireWrites } from '../native-failure.js';
import { type Cell, lie, OPERATION_LIMIT_MS, restoreAllowanceMs } from './cell.js';
import { MemoryWindow } from './memory-window.js';
import type { Outline, Seat } from './seat.js';

/** Stores that wait for the next request to take them along. */
const MOST_WAITING_BYTES = 32 * 1024;
/** What the core takes with one request (`src/core/blocks.hpp`). */
const MOST_PAYLOAD_BYTES = 64 * 2 ** 20;
const PAYLOAD_BEYOND_MEMORY_BYTES = 64 * 1024;
const REQUEST_HEAD_BYTES = 168;
const WORD_BYTES = 8;

/** A snapshot is a number that its cell knows. */
export class ProcessSnapshot implements DriverSnapshot {
  readonly cell: Cell;
  readonly id: number;
  readonly outline: Outline;
  closed = false;

  constructor(cell: Cell, id: number, outline: Outline) {
    this.cell = cell;
    this.id = id;
    this.outline = outline;
  }
  get memoryBytes(): number {
    return this.outline.memoryBytes;
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    forgottenSnapshots.unregister(this);
    dropSnapshot(this);
  }
}

function dropSnapshot({ cell, id }: { readonly cell: Cell; readonly id: number }): void {
  if (cell.ended === undefined) cell.send({ kind: CellMessage.DropSnapshot, snapshot: id });
}

/** A snapshot that nobody holds is of use to nobody, and so is a VM. */
const forgottenSnapshots = new FinalizationRegistry(dropSnapshot);
const forgottenVms = new FinalizationRegistry(({ cell, seat }: { cell: Cell; seat: Seat }) => {
  closeSeat(cell, seat).catch(() => undefined);
});

export function keepSnapshot(cell: Cell, id: number, outline: Outline): ProcessSnapshot {
  const snapshot = new ProcessSnapshot(cell, id, outline);
  forgottenSnapshots.register(snapshot, { cell, id }, snapshot);
  return snapshot;
}

/** @throws MAYFLY_ERR_VM_SNAPSHOT_MISMATCH, MAYFLY_ERR_VM_CLOSED */
export function snapshotOf(cell: Cell, snapshot: DriverSnapshot): ProcessSnapshot {
  if (!(snapshot instanceof ProcessSnapshot) || snapshot.cell !== cell)
    throw hypervisorError('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH', 'The snapshot is of another driver');
  if (snapshot.closed) throw hypervisorError('MAYFLY_ERR_VM_CLOSED', 'the snapshot is closed');
  return snapshot;
}

class ProcessInterrupt implements DriverInterrupt {
  readonly #cell: Cell;
  readonly #seat: Seat;

  constructor(cell: Cell, seat: Seat) {
    this.#cell = cell;
    this.#seat = seat;
  }
  kill(): boolean {
    if (!this.#seat.callActive) return false;
    if (!this.#seat.closed) this.#cell.kill(this.#seat);
    return true;
  }
  get dropped(): boolean {
    return this.#seat.dropped;
  }
  get callActive(): boolean {
    return this.#seat.callActive;
  }
  get generation(): bigint {
    return this.#seat.calls;
  }
  share(): number {
    this.#seat.kills ??= this.#cell.native.seatKill(this.#seat.index);
    if (this.#seat.closed) this.#seat.kills.shut();
    if (this.#seat.dropped) this.#seat.kills.drop();
    return this.#seat.kills.share();
  }
  get sharedCall(): number {
    return this.#seat.call;
  }
}

export class ProcessVm implements DriverVm {
  readonly slot: number;
  readonly interrupt: DriverInterrupt;
  readonly #cell: Cell;
  readonly #seat: Seat;
  readonly #requests: RequestWriter;
  /** Stores that the cell does not know of yet: no guest can see the difference. */
  #waiting: MemoryWrite[] = [];
  #waitingBytes = 0;
  #window: MemoryWindow | undefined;
  #closed: Promise<number> | undefined;

  constructor(cell: Cell, seat: Seat, requests: RequestWriter, firstSlot: number) {
    this.slot = firstSlot + (seat.slot as number);
    this.#cell = cell;
    this.#seat = seat;
    this.#requests = requests;
    this.interrupt = new ProcessInterrupt(cell, seat);
    forgottenVms.register(this, { cell, seat }, this);
  }

  get memoryBytes(): number {
    return this.#seat.outline.memoryBytes;
  }

  read(address: number, lengthBytes: number): Uint8Array {
    requireWhole(address, 'address', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_RANGE');
    requireWhole(lengthBytes, 'lengthBytes', this.memoryBytes, 'MAYFLY_ERR_VM_RANGE');
    this.#requireIdle();
    this.#requireRange(address, lengthBytes);
    const known = this.#window?.read(address, lengthBytes);
    if (known !== undefined) return known;
    this.#flush();
    return this.#cell.readMemory(this.#seat, address, lengthBytes);
  }

  write(address: number, bytes: Uint8Array): void {
    requireWrites([{ address, bytes }], 'write', 'MAYFLY_ERR_VM_RANGE');
    this.#requireIdle();
    this.#requireRange(address, bytes.byteLength);
    this.#window?.write(address, bytes);
    this.#waiting.push({ address, bytes: bytes.slice() });
    this.#waitingBytes += bytes.byteLength;
    if (this.#waitingBytes > MOST_WAITING_BYTES) this.#flush();
  }

  run(request: RunRequest): Promise<RunAnswer> {
    return this.#start(() => {
      const { restore = false, startsCall = false, writes = [], deadlineUs = 0 } = request;
      requireWrites(writes, 'writes', 'MAYFLY_ERR_VM_REQUEST');
      requireWhole(deadlineUs, 'deadlineUs', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REQUEST');
      for (const { address, bytes } of writes) this.#requireRange(address, bytes.byteLength);
      const isWhole = restore || this.#waiting.length === 0;
      const length = this.#requests.pack(
        isWhole ? request : { ...request, writes: [...this.#waiting, ...writes] },
      );
      this.#requirePayload(length - REQUEST_HEAD_BYTES);
      return this.#post(length, restore, startsCall, deadlineUs);
    });
  }

  #post(length: number, restore: boolean, startsCall: boolean, deadlineUs: number) {
    const seat = this.#seat;
    const wasActive = seat.callActive;
    if (startsCall) {
      seat.call += 1;
      seat.calls += 1n;
      seat.callActive = true;
    }
    if (deadlineUs > 0 || startsCall) seat.deadlineMs = deadlineUs > 0 ? deadlineUs / 1000 : undefined;
    const budgetMs = seat.deadlineMs ?? Number.POSITIVE_INFINITY;
    const call = seat.callActive ? seat.call : 0;
    const stores = { waiting: this.#waiting, bytes: this.#waitingBytes };
    const answer = this.#cell.postRun(seat, call, startsCall, this.#requests.bytes, length, {
      limitMs: budgetMs + (restore ? restoreAllowanceMs(seat.outline) : 0),
      read: (completion) => this.#answer(completion, stores),
      failed: () => {
        if (!startsCall) return;
        // Refused before it began: there was no call.
        seat.calls -= 1n;
        seat.callActive = wasActive;
      },
    });
    this.#forget();
    return answer;
  }

  #answer(completion: number, stores: { waiting: MemoryWrite[]; bytes: number }): RunAnswer {
    const { completions, native } = this.#cell;
    const { outline } = this.#seat;
    const answer = completions.answer(completion, native, this.#cell.answerLimits(this.#seat));
    if (typeof answer === 'string') throw lie(answer);
    if (!this.#seat.closed) this.#window = this.#windowOf(completion, outline);
    if (answer.exit.kind === 'cancelled' && answer.exit.by === 'revoke') {
      // It never saw what was stored before it.
      this.#waiting = stores.waiting;
      this.#waitingBytes = stores.bytes;
      for (const { address, bytes } of stores.waiting) this.#window?.write(address, bytes);
    }
    return answer;
  }

  #windowOf(completion: number, { watch, output }: Outline): MemoryWindow {
    const watched = watch.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    const least = output === undefined ? 0 : WORD_BYTES;
    const bytes = this.#cell.completions.tail(
      completion,
      this.#cell.native,
      watched + Math.min(least, CELL_LIMITS.tailBytes - watched),
      watched + (output?.lengthBytes ?? 0),
    );
    if (typeof bytes === 'string') throw lie(bytes);
    if (output === undefined) return new MemoryWindow(bytes, watch);
    const used = { address: output.address, lengthBytes: bytes.byteLength - watched };
    return new MemoryWindow(bytes, [...watch, used]);
  }

  revoke(): boolean {
    return this.#closed === undefined && this.#cell.revoke(this.#seat);
  }

  endCall(): void {
    this.#seat.callActive = false;
    this.#seat.deadlineMs = undefined;
  }

  snapshot(): Promise<DriverSnapshot> {
    return this.#start(() => {
      this.#flush();
      return this.#keeping(Op.Snapshot, OPERATION_LIMIT_MS, (generation, snapshot) =>
        this.#cell.send({ kind: CellMessage.Snapshot, seat: this.#seat.index, generation, snapshot }),
      ).then((snapshot) => {
        if (snapshot === undefined) throw this.#cell.end(lie('no snapshot'));
        return snapshot;
      });
    });
  }

  primeSnapshot({ entry, untouched, deadlineUs = 0 }: PrimeRequest): Promise<DriverSnapshot | undefined> {
    return this.#start(() => {
      requireWhole(deadlineUs, 'deadlineUs', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REQUEST');
      for (const { address, lengthBytes } of untouched) {
        for (const number of [address, lengthBytes])
          requireWhole(number, 'a number of untouched', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_RANGE');
        this.#requireRange(address, lengthBytes);
      }
      const body = this.#primeBody(entry, untouched, deadlineUs);
      if (body.byteLength > CELL_LIMITS.messageDataBytes)
        throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'priming needs 1 to 16 untouched ranges');
      this.#forget();
      return this.#keeping(Op.Prime, OPERATION_LIMIT_MS + deadlineUs / 1000, (generation, snapshot) =>
        this.#cell.send(
          {
            kind: CellMessage.Prime,
            seat: this.#seat.index,
            generation,
            snapshot,
            b: REQUEST_HEAD_BYTES,
          },
          body,
        ),
      );
    });
  }

  #primeBody(
    entry: PrimeRequest['entry'],
    untouched: readonly AddressRange[],
    deadlineUs: number,
  ): Uint8Array {
    const length = this.#requests.pack({ entry, deadlineUs });
    return Buffer.concat([this.#requests.bytes.subarray(0, length), cellRanges(untouched)]);
  }

  #keeping(
    op: number,
    limitMs: number,
    send: (generation: number, snapshot: number) => void,
  ): Promise<ProcessSnapshot | undefined> {
    const id = this.#cell.nextSnapshot();
    return this.#cell.post(this.#seat, {
      op,
      limitMs,
      send: (generation) => send(generation, id),
      read: (completion) =>
        this.#cell.completions.value(completion) === 0
          ? undefined
          : keepSnapshot(this.#cell, id, this.#seat.outline),
    });
  }

  compareWithBase(): Promise<number> {
    return this.#start(() => {
      this.#forget();
      return this.#cell.post(this.#seat, {
        op: Op.Compare,
        limitMs: OPERATION_LIMIT_MS,
        send: (generation) =>
          this.#cell.send({ kind: CellMessage.Compare, seat: this.#seat.index, generation }),
        read: (completion) => this.#cell.completions.value(completion),
      });
    });
  }

  restore(snapshot: DriverSnapshot): Promise<void> {
    return this.#start(() => {
      const { id } = snapshotOf(this.#cell, snapshot);
      this.#forget();
      return this.#cell.post(this.#seat, {
        op: Op.Restore,
        limitMs: OPERATION_LIMIT_MS,
        send: (generation) =>
          this.#cell.send({ kind: CellMessage.Restore, seat: this.#seat.index, generation, snapshot: id }),
        read: () => undefined,
      });
    });
  }

  async registers(): Promise<GeneralRegisters> {
    return readRegisters(await this.#getState(StateKind.General));
  }

  setRegisters(registers: Partial<GeneralRegisters>): Promise<void> {
    return this.#setState(StateKind.General, packRegisters(registers));
  }

  async specialRegisters(): Promise<SpecialRegisters> {
    return readSpecialRegisters(await this.#getState(StateKind.Special));
  }

  setSpecialRegisters(registers: SpecialRegisters): Promise<void> {
    return this.#setState(StateKind.Special, packSpecialRegisters(registers));
  }

  async fpu(): Promise<FpuState> {
    return fpuStateOf(await this.#getState(StateKind.Fpu));
  }

  setFpu(state: FpuState): Promise<void> {
    return this.#setState(StateKind.Fpu, fxsaveImage(state));
  }

  #getState(kind: number): Promise<Uint8Array> {
    const length = stateBytes(kind);
    return this.#withState(Op.GetState, kind, undefined, (completion) => {
      const bytes = this.#cell.completions.tail(completion, this.#cell.native, length, length);
      if (typeof bytes === 'string') throw lie(bytes);
      return bytes;
    });
  }

  #setState(kind: number, bytes: Uint8Array): Promise<void> {
    return this.#withState(Op.SetState, kind, bytes, () => undefined);
  }

  #withState<T>(
    op: number,
    kind: number,
    bytes: Uint8Array | undefined,
    read: (completion: number) => T,
  ): Promise<T> {
    return this.#start(() => {
      this.#flush();
      // What the guest has left half done is completed first, perhaps by a store.
      this.#window = undefined;
      return this.#cell.post(this.#seat, {
        op,
        limitMs: OPERATION_LIMIT_MS,
        send: (generation) =>
          this.#cell.send(
            {
              kind: op === Op.GetState ? CellMessage.GetState : CellMessage.SetState,
              seat: this.#seat.index,
              generation,
              a: kind,
            },
            bytes,
          ),
        read,
      });
    });
  }

  close(): Promise<number> {
    forgottenVms.unregister(this);
    this.#closed ??= closeSeat(this.#cell, this.#seat);
    return this.#closed;
  }

  #start<T>(post: () => Promise<T>): Promise<T> {
    try {
      this.#requireIdle();
      return post();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #requireIdle(): void {
    if (this.#closed !== undefined) throw hypervisorError('MAYFLY_ERR_VM_CLOSED', 'the VM is closed');
    if (this.#cell.ended !== undefined) throw this.#cell.ended;
    if (this.#seat.operation !== undefined)
      throw hypervisorError('MAYFLY_ERR_VM_BUSY', 'an operation of this VM is under way');
  }

  #requireRange(address: number, lengthBytes: number): void {
    if (address <= this.memoryBytes && lengthBytes <= this.memoryBytes - address) return;
    throw hypervisorError(
      'MAYFLY_ERR_VM_RANGE',
      `${lengthBytes} bytes at ${address} leave the ${this.memoryBytes} bytes of guest memory`,
    );
  }

  #requirePayload(bytes: number): void {
    if (bytes > Math.min(this.memoryBytes + PAYLOAD_BEYOND_MEMORY_BYTES, MOST_PAYLOAD_BYTES))
      throw hypervisorError('MAYFLY_ERR_VM_RANGE', "the request's writes hold more bytes than guest memory");
  }

  /** Guest memory is about to be another: what was read and stored before no longer counts. */
  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#window = undefined;
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { address, bytes } of waiting) this.#cell.writeMemory(this.#seat, address, bytes);
  }
}

/**
 * Ends what runs as killed, waits for it, frees the seat. A cell that has ended has freed all.
 * @returns pages that differed when its VM was cleaned for the next one
 */
export function closeSeat(cell: Cell, seat: Seat): Promise<number> {
  if (seat.closed || cell.ended !== undefined) return Promise.resolve(0);
  seat.closed = true;
  seat.kills?.shut();
  if (seat.operation !== undefined) seat.operation.killedAtMs ??= performance.now();
  return cell.post(seat, {
    op: Op.Close,
    limitMs: OPERATION_LIMIT_MS,
    send: (generation) => cell.send({ kind: CellMessage.Close, seat: seat.index, generation }),
    read: (completion) => cell.completions.value(completion),
  });
}
