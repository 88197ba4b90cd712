import {
  type AnswerLimits,
  CELL_LIMITS,
  CellCompletions,
  CellEvent,
  CellMessage,
  type CellMessageFields,
  CellMessageWriter,
  cellExecutable,
  cellRequestHead,
  type JailReport,
  loadBinding,
  type NativeCell,
  type NativeCellMessage,
  NativeCode,
  Op,
  readFailure,
  readJailReport,
} from '@mayfly/native';
import { hypervisorError } from '../../errors.js';
import { failure, translate } from '../native-failure.js';
import { type Operation, type Outline, Seat } from './seat.js';
import { WaitBudget } from './wait-budget.js';
import { SlotWatch } from './watchdog.js';

export interface CellOptions {
  readonly slots: number;
  readonly spareShells: number;
  /** VMs at one time. */
  readonly seats: number;
  readonly graceMs: number;
  readonly executable: string | undefined;
  /** What the cell says on its standard error, capped. */
  readonly onLog: ((text: string) => void) | undefined;
}

/** What to post beside the operation itself. */
export interface Posting<T> {
  readonly op: number;
  /** On the cell's own time, beyond the wait for its slot. */
  readonly limitMs: number;
  readonly read: (completion: number) => T;
  readonly send: (generation: number) => void;
  /** Called when it fails, before its promise does. */
  readonly failed?: () => void;
}

/** What anything but a run may take: a snapshot of a large guest on a busy machine. */
export const OPERATION_LIMIT_MS = 30_000;
const START_LIMIT_MS = 20_000;
const TICK_MS = 50;
/** A VM that is made delays its slot's queue. */
const CREATE_SLACK_MS = 20;
const LOG_CHUNK_BYTES = 4096;
const MOST_LOG_BYTES = 64 * 1024;
const MOST_STATUS = NativeCode.Privilege;
/** Wake-ups of a cell that bring nothing, beyond those that bring something. */
const MOST_IDLE_WAKES = 1_000;
/** Threads and descriptors of a cell beside its VMs. */
const SPARE_TASKS = 64;
const SPARE_FILES = 1_024;
const FILES_PER_VM = 2;
/** Of the users that cells become, where the worker may give them one (jail.hpp). */
const FIRST_USER = 0x7000_0000;

const NOTHING = new Uint8Array(0);

/**
 * One cell as the worker sees it: seats, operations under way, and the right to end it. The cell is as hostile as its
 * guests: every number that it writes is checked, and a lie, a hang or its death ends it. What was under way then fails
 * by that name.
 */
export class Cell {
  readonly native: NativeCell;
  readonly completions = new CellCompletions();
  readonly ready: Promise<void>;
  /** Resolves once the process is gone. */
  readonly gone: Promise<void>;
  readonly #options: CellOptions;
  readonly #messages = new CellMessageWriter();
  readonly #seats: (Seat | undefined)[];
  readonly #free: number[];
  readonly #generations: Uint32Array;
  readonly #slots: SlotWatch[];
  /** Operations that no slot has yet. */
  readonly #unslotted = new Map<Operation, number>();
  readonly #waits = new WaitBudget();
  readonly #tick = () => this.#onTick();
  #pending = 0;
  #lastActiveMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isEnded: Error | undefined;
  #isReady = false;
  #jail: JailReport | undefined;
  #settleReady: { resolve(): void; reject(error: unknown): void } | undefined;
  #settleGone: (() => void) | undefined;
  #logBytes = 0;
  #wakes = 0;
  #takenMs = 0;
  #snapshots = 0;

  /** @throws MAYFLY_ERR_NO_HYPERVISOR, MAYFLY_ERR_CELL_START */
  constructor(options: CellOptions) {
    this.#options = options;
    const { slots, seats, spareShells } = options;
    this.#seats = Array.from({ length: seats });
    this.#free = Array.from({ length: seats }, (_, i) => seats - 1 - i);
    this.#generations = new Uint32Array(seats);
    this.#slots = Array.from({ length: slots }, () => new SlotWatch());
    const vms = seats + spareShells;
    const numbers = Float64Array.of(
      slots,
      seats,
      spareShells,
      FIRST_USER,
      slots + vms + SPARE_TASKS,
      FILES_PER_VM * vms + SPARE_FILES,
      2 ** 30,
    );
    this.native = spawn(options.executable ?? cellExecutable(), numbers, (event) => this.#onEvent(event));
    this.gone = new Promise((resolve) => {
      this.#settleGone = resolve;
    });
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    // Whoever spawned it waits for `ready`, or does not care.
    this.ready.catch(() => undefined);
    const timer = setTimeout(
      () => this.end(hypervisorError('MAYFLY_ERR_CELL_START', 'The cell did not say hello in time')),
      START_LIMIT_MS,
    );
    timer.unref();
    this.ready.finally(() => clearTimeout(timer)).catch(() => undefined);
    this.native.keepAlive(true);
  }

  /** Why the cell has ended; undefined while it serves. */
  get ended(): Error | undefined {
    return this.#isEnded;
  }

  /** Said before the cell had a tenant, so it can be believed; undefined until it is ready. */
  get jail(): JailReport | undefined {
    return this.#jail;
  }

  get idleForMs(): number {
    return this.#pending > 0 ? 0 : performance.now() - this.#lastActiveMs;
  }

  get pid(): number {
    return this.native.pid();
  }

  send(fields: CellMessageFields, body: Uint8Array = NOTHING, file?: readonly Uint8Array[]): void {
    this.#lastActiveMs = performance.now();
    this.native.send(this.#messages.pack(fields), body, file);
  }

  /** @throws MAYFLY_ERR_CELL_FULL, and why the cell has ended. */
  takeSeat(outline: Outline): Seat {
    if (this.#isEnded !== undefined) throw this.#isEnded;
    const index = this.#free.pop();
    if (index === undefined)
      throw hypervisorError(
        'MAYFLY_ERR_CELL_FULL',
        `The cell has its ${this.#options.seats} VMs; close one first`,
      );
    const seat = new Seat(index, outline, this.#generations[index] as number);
    this.#seats[index] = seat;
    return seat;
  }

  nextSnapshot(): number {
    this.#snapshots += 1;
    return this.#snapshots;
  }

  /** Posts an operation of an idle seat. Its promise settles with what `read` makes of the completion. */
  post<T>(seat: Seat, { op, limitMs, read, send, failed }: Posting<T>): Promise<T> {
    const nowMs = performance.now();
    const generation = seat.nextGeneration();
    try {
      send(generation);
    } catch (error) {
      failed?.();
      return Promise.reject(error);
    }
    // The cell is at work: what its answer is met with is made meanwhile.
    const watch = op === Op.Close || op === Op.Create ? undefined : this.#watchOf(seat);
    return new Promise<T>((resolve, reject) => {
      const operation: Operation = {
        op,
        generation,
        postedMs: nowMs,
        watch,
        limitMs: limitMs + this.#options.graceMs,
        killLimitMs: this.#options.graceMs + restoreAllowanceMs(seat.outline),
        killedAtMs: op === Op.Run && seat.call > 0 && seat.killedCall === seat.call ? nowMs : undefined,
        read,
        resolve: resolve as (value: unknown) => void,
        reject: (error) => {
          failed?.();
          reject(error);
        },
      };
      if (op === Op.Close) seat.closing = operation;
      else seat.operation = operation;
      this.#expect(seat, operation, nowMs);
      this.#busy();
    });
  }

  /**
   * A run, through the seat where it is small enough, which alone can be taken back. `block`: `length` bytes of a
   * request.
   */
  postRun<T>(
    seat: Seat,
    call: number,
    revocable: boolean,
    block: Uint8Array,
    length: number,
    { limitMs, read, failed }: Required<Omit<Posting<T>, 'send' | 'op'>>,
  ) {
    return this.post(seat, {
      op: Op.Run,
      limitMs,
      read,
      failed,
      send: (generation) => {
        const killed = call !== 0 && seat.killedCall === call;
        if (length <= CELL_LIMITS.seatRequestBytes) {
          this.native.run(
            seat.slot as number,
            seat.index,
            generation,
            call,
            killed,
            revocable,
            block,
            length,
          );
        } else {
          const head = cellRequestHead(generation, call, killed, length);
          this.send({ kind: CellMessage.Run, seat: seat.index }, NOTHING, [head, block.subarray(0, length)]);
        }
      },
    });
  }

  /** What is known of the run of a seat whose answer has been taken. */
  answerLimits({ outline, operation }: Seat): AnswerLimits {
    const elapsedMs = this.#takenMs - (operation?.postedMs ?? this.#takenMs);
    return { memoryBytes: outline.memoryBytes, elapsedMs, takenNs: this.completions.takenNs };
  }

  /** The completion's value as a slot. */
  slotOf(completion: number): number {
    const slot = this.completions.value(completion);
    if (slot >= this.#options.slots) throw lie(`a VM on slot ${slot}`);
    return slot;
  }

  /** Takes back the run of a seat that has not begun. @returns false when it has, or there is none. */
  revoke(seat: Seat): boolean {
    if (this.#isEnded !== undefined || !this.native.revoke(seat.index)) return false;
    this.send({ kind: CellMessage.Revoke, seat: seat.index });
    return true;
  }

  /** Ends the call of a seat that is named, wherever it is. Once a call. */
  kill(seat: Seat): void {
    if (this.#isEnded !== undefined || seat.killedCall === seat.call) return;
    seat.killedCall = seat.call;
    if (seat.operation !== undefined) seat.operation.killedAtMs = performance.now();
    this.send({ kind: CellMessage.Kill, seat: seat.index, a: seat.call });
  }

  /** Reads guest memory of an idle seat while the event loop waits. */
  readMemory(seat: Seat, address: number, lengthBytes: number): Uint8Array {
    const bytes = new Uint8Array(lengthBytes);
    for (let done = 0; done < lengthBytes; ) {
      const part = Math.min(lengthBytes - done, CELL_LIMITS.messageDataBytes);
      const body = this.#ask(seat, { kind: CellMessage.Read, a: address + done, b: part });
      if (body.byteLength !== part) throw this.end(lie('a read of another length'));
      bytes.set(body, done);
      done += part;
    }
    return bytes;
  }

  /** Writes guest memory of an idle seat while the event loop waits. */
  writeMemory(seat: Seat, address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; done += CELL_LIMITS.messageDataBytes)
      this.#ask(
        seat,
        { kind: CellMessage.Write, a: address + done },
        bytes.subarray(done, done + CELL_LIMITS.messageDataBytes),
      );
  }

  /** Kills the process: what is under way fails with this error, what comes later too. Idempotent: the first one counts. */
  end(error: Error): Error {
    if (this.#isEnded !== undefined) return this.#isEnded;
    this.#isEnded = error;
    this.native.kill();
    // Until it is gone and was collected.
    this.native.keepAlive(true);
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#settleReady?.reject(error);
    for (const seat of this.#seats) {
      if (seat === undefined) continue;
      seat.closed = true;
      seat.dropped = true;
      seat.kills?.drop();
      seat.operation?.reject(error);
      seat.closing?.resolve(undefined);
      seat.operation = undefined;
      seat.closing = undefined;
    }
    return error;
  }

  #onEvent(event: number): void {
    switch (event) {
      case CellEvent.Completions:
        this.#wakes += 1;
        this.#drain();
        if (this.#wakes > MOST_IDLE_WAKES) this.end(lie('it keeps waking the worker for nothing'));
        return;
      case CellEvent.Message:
        this.#onMessage();
        return;
      case CellEvent.Log:
        this.#onLog();
        return;
      case CellEvent.Ended:
        this.end(hypervisorError('MAYFLY_ERR_CELL_DIED', `The cell ended: ${endingText(this.native)}`));
        this.#settleGone?.();
    }
  }

  #drain(): void {
    while (this.#isEnded === undefined) {
      let count = 0;
      try {
        count = this.completions.take(this.native);
      } catch (error) {
        this.end(lie(readFailure(error)?.text ?? String(error)));
        return;
      }
      // After the moment of the batch: a thread that is held up in between then allows more, never less.
      this.#takenMs = performance.now();
      this.#wakes = Math.max(0, this.#wakes - count);
      for (let i = 0; i < count && this.#isEnded === undefined; i++) this.#settle(i);
      if (count < this.completions.capacity) return;
    }
  }

  #settle(completion: number): void {
    const { completions } = this;
    const seat = this.#seats[completions.seat(completion)];
    const op = completions.op(completion);
    const operation = op === Op.Close ? seat?.closing : seat?.operation;
    if (seat === undefined || operation === undefined || operation.op !== op) {
      this.end(lie('an answer to nothing'));
      return;
    }
    if (operation.generation !== completions.generation(completion)) {
      this.end(lie('an answer that came twice, or late'));
      return;
    }
    const status = completions.status(completion);
    try {
      if (status > MOST_STATUS) throw lie('an unknown status');
      const value = status === NativeCode.None ? operation.read(completion) : undefined;
      this.#finish(seat, operation);
      if (status === NativeCode.None) operation.resolve(value);
      else operation.reject(failure(status, completions.reason(completion), completions.errno(completion)));
    } catch (error) {
      this.end(error instanceof Error ? error : translate(error));
    }
  }

  #finish(seat: Seat, operation: Operation): void {
    this.#lastActiveMs = this.#takenMs;
    if (operation.watch === undefined) this.#unslotted.delete(operation);
    else operation.watch.remove(operation, this.#takenMs);
    this.#pending -= 1;
    if (operation === seat.closing) this.#freeSeat(seat);
    else seat.operation = undefined;
  }

  #freeSeat(seat: Seat): void {
    seat.closing = undefined;
    seat.dropped = true;
    seat.kills?.drop();
    this.#seats[seat.index] = undefined;
    this.#generations[seat.index] = seat.generation;
    this.#free.push(seat.index);
    this.native.forget(seat.index);
  }

  #watchOf({ slot }: Seat): SlotWatch | undefined {
    return slot === undefined ? undefined : this.#slots[slot];
  }

  #expect(seat: Seat, operation: Operation, nowMs: number): void {
    if (operation.watch !== undefined) {
      operation.watch.add(operation, nowMs);
      return;
    }
    // A close waits for what runs on its slot at most; a creation for what any slot has before it.
    const before = this.#watchOf(seat)?.backlogMs ?? Math.max(...this.#slots.map((slot) => slot.backlogMs));
    this.#unslotted.set(operation, nowMs + OPERATION_LIMIT_MS + before);
  }

  #busy(): void {
    this.#pending += 1;
    if (this.#timer !== undefined) return;
    this.native.keepAlive(true);
    this.#timer = setInterval(this.#tick, TICK_MS);
    this.#timer.unref();
  }

  #onTick(): void {
    // An answer that waits for this thread is in time.
    this.#drain();
    if (this.#isEnded !== undefined) return;
    if (this.#pending === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.native.keepAlive(false);
      return;
    }
    const nowMs = performance.now();
    let creations = 0;
    let isLate = false;
    for (const [operation, untilMs] of this.#unslotted) {
      if (operation.op === Op.Create) creations += 1;
      isLate ||= nowMs > untilMs;
    }
    isLate ||= this.#slots.some((slot) => slot.isLate(nowMs, creations * CREATE_SLACK_MS));
    if (isLate)
      this.end(hypervisorError('MAYFLY_ERR_CELL_HUNG', 'The cell did not end an operation in its time'));
  }

  #onMessage(): void {
    for (;;) {
      const message = this.#receive(0);
      if (message === undefined) return;
      if (this.#isReady || message.kind !== CellMessage.Hello) {
        this.end(lie('a message that nobody asked for'));
        return;
      }
      if (message.status !== NativeCode.None) {
        const text = new TextDecoder().decode(message.body);
        this.end(failure(message.status, text, message.a));
        return;
      }
      this.#jail = readJailReport(message.body);
      if (this.#jail === undefined) {
        this.end(lie('no report of its jail'));
        return;
      }
      this.#isReady = true;
      this.native.keepAlive(this.#pending > 0);
      this.#settleReady?.resolve();
    }
  }

  /** The next message; undefined when there is none, or the cell is gone. */
  #receive(timeoutMs: number): NativeCellMessage | undefined {
    if (this.#isEnded !== undefined) return undefined;
    try {
      const message = this.native.receive(timeoutMs);
      if (message !== null) return message;
      this.end(hypervisorError('MAYFLY_ERR_CELL_DIED', 'The cell closed its socket'));
    } catch (error) {
      this.end(lie(readFailure(error)?.text ?? String(error)));
    }
    return undefined;
  }

  #ask(seat: Seat, fields: CellMessageFields, body: Uint8Array = NOTHING): Uint8Array {
    if (this.#isEnded !== undefined) throw this.#isEnded;
    const generation = seat.nextGeneration();
    const sentMs = performance.now();
    this.send({ ...fields, seat: seat.index, generation }, body);
    const reply = this.#receive(this.#options.graceMs);
    const nowMs = performance.now();
    if (this.#isEnded !== undefined) throw this.#isEnded;
    if (reply === undefined || this.#waits.spend(nowMs - sentMs, nowMs))
      throw this.end(
        hypervisorError('MAYFLY_ERR_CELL_HUNG', 'The cell did not answer a read or write in time'),
      );
    if (reply.kind !== CellMessage.Reply || reply.seat !== seat.index || reply.generation !== generation)
      throw this.end(lie('a reply to nothing'));
    if (reply.status > MOST_STATUS) throw this.end(lie('an unknown status'));
    if (reply.status !== NativeCode.None) throw failure(reply.status, 'The cell refused a read or write', 0);
    return reply.body;
  }

  #onLog(): void {
    const chunk = new Uint8Array(Math.min(LOG_CHUNK_BYTES, MOST_LOG_BYTES - this.#logBytes));
    const length = this.native.readLog(chunk);
    if (length === 0) return;
    this.#logBytes += length;
    this.#options.onLog?.(new TextDecoder().decode(chunk.subarray(0, length)));
  }
}

/** What a restore may take before the budget of a run begins: all of memory, at a slow machine's pace. */
export function restoreAllowanceMs({ memoryBytes }: Outline): number {
  return memoryBytes / 2 ** 20;
}

export function lie(what: string) {
  return hypervisorError('MAYFLY_ERR_CELL_PROTOCOL', `The cell broke the protocol: ${what}`);
}

function spawn(executable: string, numbers: Float64Array, onEvent: (event: number) => void): NativeCell {
  let binding: ReturnType<typeof loadBinding>;
  try {
    binding = loadBinding();
  } catch (error) {
    throw hypervisorError(
      'MAYFLY_ERR_NO_HYPERVISOR',
      'The native addon does not load; build it with `make -C libs/native`',
      { cause: error },
    );
  }
  try {
    return new binding.Cell(executable, numbers, onEvent);
  } catch (error) {
    const native = readFailure(error);
    if (native?.code === NativeCode.NoHypervisor) throw translate(error);
    throw hypervisorError('MAYFLY_ERR_CELL_START', native?.text ?? 'The cell does not start', {
      cause: error,
    });
  }
}

/** CLD_EXITED of waitid; the others are signals. */
const EXITED = 1;

function endingText(native: NativeCell): string {
  const ending = native.ending();
  if (ending === undefined) return 'unknown';
  return ending.code === EXITED ? `exit code ${ending.status}` : `signal ${ending.status}`;
}
