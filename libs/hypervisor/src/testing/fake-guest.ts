import type { ReturnType, TypedValue } from '@mayfly/contracts';
import { decodeFunctionCall, encodeFunctionCall } from '../codec/function-call.js';
import {
  decodeFunctionCallAnswer,
  encodeFunctionCallAnswer,
  type FunctionCallAnswer,
} from '../codec/function-call-result.js';
import type { FakeProgram, FakeStep } from '../drivers/fake.js';
import type { FakeMachine } from '../drivers/fake-machine.js';
import { popElement, pushElement } from '../memory/io-stack.js';
import type { LayoutPart } from '../memory/layout.js';
import { buildElf } from './elf-builder.js';

/** What a scripted guest function may do besides answering. */
export interface FakeGuestContext {
  readonly machine: FakeMachine;
  /** Calls a host function; use it as `yield* guest.callHost(…)`. */
  callHost(
    name: string,
    args: readonly TypedValue[],
    returns: ReturnType,
  ): Generator<FakeStep, FunctionCallAnswer, void>;
  /** Sends an abort with code and text (guest-abi 5.2). */
  abort(code: number, message: string): Generator<FakeStep, never, void>;
}

/** Answers with a value, or a guest error; may yield what a guest does meanwhile. */
export type FakeGuestFunction = (
  args: readonly TypedValue[],
  guest: FakeGuestContext,
) => Generator<FakeStep, FunctionCallAnswer, void> | FunctionCallAnswer;

export interface FakeGuestOptions {
  readonly functions: Readonly<Record<string, FakeGuestFunction>>;
  /** What initialisation does before it publishes the dispatch function. */
  readonly init?: (guest: FakeGuestContext) => Generator<FakeStep, void, void>;
  /** What every call does before it looks at its input. */
  readonly beforeInput?: (guest: FakeGuestContext) => Generator<FakeStep, void, void>;
}

export interface FakeGuest {
  /** An ELF file that loads; the fake driver runs `program` in place of its code. */
  readonly elf: Uint8Array;
  readonly program: FakeProgram;
}

const CALL_PORT = 101;
const ABORT_PORT = 102;
const GUEST_FUNCTION_NOT_FOUND = 4n;
// Instructions of the script: initialisation begins at 0, a call at 1, and both go on at 2.
const DISPATCH_OFFSET = 1n;
const GO_ON_OFFSET = 2n;
const CODE_BYTES = 16;

/** A guest of the guest ABI whose functions are JavaScript, for tests of what stands on the library. */
export function createFakeGuest(options: FakeGuestOptions): FakeGuest {
  const { bytes, codeOffset } = buildElf({ code: new Uint8Array(CODE_BYTES).fill(0xf4) });
  const running = new WeakMap<FakeMachine, Generator<FakeStep, void, void>>();
  const program: FakeProgram = (machine) => {
    const entry = codeAddress(machine) + BigInt(codeOffset);
    const { rip } = machine.regs;
    if (rip === entry) running.set(machine, initialise(machine, options, entry));
    else if (rip === entry + DISPATCH_OFFSET) running.set(machine, dispatch(machine, options));
    const generator = running.get(machine) ?? machine.raise(6);
    machine.regs.rip = entry + GO_ON_OFFSET;
    const step = generator.next();
    return step.done ? { kind: 'halt' } : step.value;
  };
  return { elf: bytes, program };
}

function* initialise(
  machine: FakeMachine,
  options: FakeGuestOptions,
  entry: bigint,
): Generator<FakeStep, void, void> {
  const peb = Number(machine.regs.rdi);
  if (options.init) yield* options.init(contextOf(machine));
  machine.writeWord(peb + 8, entry + DISPATCH_OFFSET);
}

function* dispatch(machine: FakeMachine, options: FakeGuestOptions): Generator<FakeStep, void, void> {
  if (options.beforeInput) yield* options.beforeInput(contextOf(machine));
  const { input, output } = buffersOf(machine);
  const element = popElement(machine, input);
  for (const { address, bytes } of element.removal) machine.write(address, bytes);
  const { name, args } = decodeFunctionCall(element.bytes);
  const handler = Object.hasOwn(options.functions, name) ? options.functions[name] : undefined;
  let answer: FunctionCallAnswer;
  if (!handler) answer = { ok: false, code: GUEST_FUNCTION_NOT_FOUND, message: name };
  else {
    const running = handler(args, contextOf(machine));
    answer = 'next' in running ? yield* running : running;
  }
  for (const { address, bytes } of pushElement(machine, output, encodeFunctionCallAnswer(answer)))
    machine.write(address, bytes);
}

function contextOf(machine: FakeMachine): FakeGuestContext {
  return {
    machine,
    *callHost(name, args, returns) {
      const { input, output } = buffersOf(machine);
      const call = encodeFunctionCall({ name, args, returns, callee: 'host' });
      for (const { address, bytes } of pushElement(machine, output, call)) machine.write(address, bytes);
      yield { kind: 'io-out', port: CALL_PORT, sizeBytes: 4, value: 0 };
      const element = popElement(machine, input);
      for (const { address, bytes } of element.removal) machine.write(address, bytes);
      return decodeFunctionCallAnswer(element.bytes);
    },
    *abort(code, message) {
      for (const byte of [code, ...Buffer.from(message), 0xff])
        yield { kind: 'io-out', port: ABORT_PORT, sizeBytes: 4, value: 1 | (byte << 8) };
      for (;;) yield { kind: 'spin' };
    },
  };
}

/** Places that a guest learns from its PEB (guest-abi 3); the layout puts the PEB behind the code. */
function buffersOf(machine: FakeMachine): { input: LayoutPart; output: LayoutPart } {
  const peb = machine.plan.regions[1]?.address ?? 0;
  const part = (offset: number) => ({
    lengthBytes: Number(machine.readWord(peb + offset)),
    address: Number(machine.readWord(peb + offset + 8)),
  });
  return { input: part(0x18), output: part(0x28) };
}

function codeAddress(machine: FakeMachine): bigint {
  return BigInt(machine.plan.regions[0]?.address ?? 0);
}
