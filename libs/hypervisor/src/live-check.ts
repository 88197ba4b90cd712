import { isDeepStrictEqual } from 'node:util';
import type { DriverVm } from './driver.js';
import { hypervisorError } from './errors.js';

/** A restore that left something behind: a bug of the host, and an alert. */
export interface ResetMismatch {
  /** Pages of guest memory that differ from the base right after a restore. */
  readonly differingPages: number;
  /** Registers that differ, by name: general, special (of a guest built for ring 0 its virtual CPU), x87 and SSE. */
  readonly differingRegisters: readonly string[];
  readonly memoryBytes: number;
}

export interface LiveCheckOptions {
  /** One in so many invokes, drawn at random, compares all of guest memory first; 0 for never. @defaultValue 4096 */
  readonly oneIn?: number;
  /**
   * Told of each mismatch, before the invoke that found it rejects or the close that found it resolves. Who has it stops taking work and raises an alert:
   * other sandboxes of this host may be no cleaner. Must not throw.
   */
  readonly onMismatch?: (mismatch: ResetMismatch) => void;
}

const DEFAULT_ONE_IN = 4096;

/** Registers that a restore brings back, by name, as far as the driver shows them. */
export type BaseRegisters = Readonly<Record<string, unknown>>;

/**
 * Of a VM that stands at its base.
 *
 * @param isWarm x87 and SSE state, too, which a warm snapshot brings; a plain one leaves it to the next entry. Without
 * the pointers to the last instruction, which not every CPU keeps.
 * @param isCut ends it early: then what is missing counts as not shown
 */
export async function registersOf(
  vm: DriverVm,
  isWarm: boolean,
  isCut = () => false,
): Promise<BaseRegisters> {
  const general = isCut() ? undefined : await vm.registers?.();
  const special = isCut() ? undefined : await vm.specialRegisters?.();
  const fpu = isCut() || !isWarm ? undefined : await vm.fpu?.();
  if (fpu === undefined) return { ...general, ...special };
  const { st, xmm, mxcsr, controlWord, statusWord, tagWord } = fpu;
  return { ...general, ...special, st, xmm, mxcsr, controlWord, statusWord, tagWord };
}

/**
 * The check of a clean reset in production: rare, complete, and before a call instead of after it. A driver that keeps
 * closed VMs makes it of each of these, too.
 */
export class LiveCheck {
  readonly #oneIn: number;
  readonly #onMismatch: LiveCheckOptions['onMismatch'];

  /** @throws MAYFLY_ERR_SANDBOX_OPTIONS. */
  constructor(options: LiveCheckOptions = {}) {
    const { oneIn = DEFAULT_ONE_IN, onMismatch } = options;
    if (!Number.isSafeInteger(oneIn) || oneIn < 0) refuse('oneIn', oneIn, 'a whole number, 0 for never');
    if (onMismatch !== undefined && typeof onMismatch !== 'function')
      refuse('onMismatch', onMismatch, 'a function');
    this.#oneIn = oneIn;
    this.#onMismatch = onMismatch;
  }

  /** Whether this invoke is one that checks. Drawn, so that a guest cannot tell which. */
  due(): boolean {
    return this.#oneIn > 0 && Math.random() * this.#oneIn < 1;
  }

  /**
   * Restores and compares memory and registers; a driver that cannot compare is believed.
   *
   * @param base what the registers were when the base was taken
   * @param isCut the call that this belongs to has been killed meanwhile, or the VM closed: no more operations
   * @throws MAYFLY_ERR_RESET_MISMATCH.
   */
  async check(vm: DriverVm, base: BaseRegisters, isCut: () => boolean): Promise<void> {
    const differingPages = (await vm.compareWithBase?.()) ?? 0;
    const found = await registersOf(vm, 'mxcsr' in base, isCut);
    const differingRegisters = Object.keys(found).filter(
      (name) => name in base && !isDeepStrictEqual(found[name], base[name]),
    );
    if (differingPages === 0 && differingRegisters.length === 0) return;
    this.#onMismatch?.({ differingPages, differingRegisters, memoryBytes: vm.memoryBytes });
    const registers =
      differingRegisters.length === 0 ? '' : `, and the registers ${differingRegisters.join(', ')}`;
    throw hypervisorError(
      'MAYFLY_ERR_RESET_MISMATCH',
      `${differingPages} pages${registers} differ from the base right after a restore`,
      { details: { differingPages, differingRegisters } },
    );
  }

  /** A VM that its driver cleaned for the next one, and did not get clean, tells as much of its host as any other. */
  closed(vm: DriverVm, differingPages: number): void {
    if (differingPages > 0)
      this.#onMismatch?.({ differingPages, differingRegisters: [], memoryBytes: vm.memoryBytes });
  }
}

function refuse(option: string, value: unknown, expected: string): never {
  throw hypervisorError(
    'MAYFLY_ERR_SANDBOX_OPTIONS',
    `liveCheck.${option} is ${String(value)}: expected ${expected}`,
    { details: { option: `liveCheck.${option}` } },
  );
}
