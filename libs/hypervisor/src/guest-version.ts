import type { CallBudget } from './call-budget.js';
import type { GeneralRegisters, HypervisorDriver } from './driver.js';
import type { HostFunctionTable } from './host-functions.js';
import type { LiveCheck } from './live-check.js';
import type { GuestLayout } from './memory/layout.js';
import type { RunObserver } from './run-observer.js';

/** What all sandboxes of one initialised guest share; immutable. */
export interface GuestVersion {
  readonly driver: HypervisorDriver;
  readonly layout: GuestLayout;
  readonly cookie: Uint8Array;
  readonly hostFunctions: HostFunctionTable;
  readonly budget: CallBudget;
  readonly liveCheck: LiveCheck;
  readonly observer: RunObserver | undefined;
  /** Registers of every call: the guest's dispatch function and its stack (guest-abi 4.3). */
  readonly callEntry: Readonly<Partial<GeneralRegisters>>;
}
