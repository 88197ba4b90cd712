import type {
  DriverVm,
  GeneralRegisters,
  HypervisorDriver,
  RunAnswer,
  RunRequest,
  VmPlan,
} from '@mayfly/hypervisor';
import { expect, onTestFinished } from 'vitest';
import { PLACE, type Program, planOf } from './program.js';

/** A driver that plays programs; the fake is told which one, real drivers find its code in the plan. */
export interface DriverUnderTest {
  readonly driver: HypervisorDriver;
  /** Called before a VM of the program is created. */
  load(program: Program): void;
}

/** Groups of optional members of a driver (`docs/driver-contract.md`), each all there or all left out. */
export const OPTIONAL = {
  registers: ['registers', 'setRegisters', 'specialRegisters', 'setSpecialRegisters', 'fpu', 'setFpu'],
  regions: ['mapRegion', 'unmapRegion', 'mappedRegions'],
  revoke: ['revoke'],
} as const satisfies Record<string, readonly (keyof DriverVm)[]>;
export type OptionalGroup = keyof typeof OPTIONAL;
/** A VM of a driver that has all of the contract. */
export type WholeVm = Required<DriverVm>;

/** Long enough for any program that ends. */
export const LONG_US = 20_000_000;

export const error = (name: string) => expect.objectContaining({ code: name });

/** What the suites do with the driver under test. */
export class Kit {
  readonly start: () => Promise<DriverUnderTest>;
  /** What the driver leaves out. */
  readonly lacks: readonly OptionalGroup[];
  #under: DriverUnderTest | undefined;

  constructor(start: () => Promise<DriverUnderTest>, lacks: readonly OptionalGroup[]) {
    this.start = start;
    this.lacks = lacks;
  }

  async open(): Promise<void> {
    this.#under = await this.start();
  }

  async close(): Promise<void> {
    await this.#under?.driver.close();
  }

  get driver(): HypervisorDriver {
    return this.#opened().driver;
  }

  load(program: Program): void {
    this.#opened().load(program);
  }

  /** A VM of the program, closed when the test ends. */
  readonly create = async (program: Program, plan: VmPlan = planOf(program)): Promise<DriverVm> => {
    this.load(program);
    const vm = await this.driver.createVm(plan);
    onTestFinished(async () => {
      await vm.close();
    });
    return vm;
  };

  /** Enters a program at its first instruction. */
  readonly enter = (
    vm: DriverVm,
    entry: Partial<GeneralRegisters> = {},
    more: Partial<RunRequest> = {},
  ): Promise<RunAnswer> =>
    vm.run({
      entry: { rip: BigInt(PLACE.code), rsp: BigInt(PLACE.stackTop - 0x28), ...entry },
      deadlineUs: LONG_US,
      ...more,
    });

  readonly goOn = (vm: DriverVm, more: Partial<RunRequest> = {}): Promise<RunAnswer> =>
    vm.run({ deadlineUs: LONG_US, ...more });

  readonly firstWord = (vm: DriverVm): bigint => Buffer.from(vm.read(PLACE.data, 8)).readBigUInt64LE();

  #opened(): DriverUnderTest {
    if (!this.#under) throw new TypeError('the suite has not begun');
    return this.#under;
  }
}
