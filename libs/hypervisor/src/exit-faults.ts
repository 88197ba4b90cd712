import { decodeAbort, isOutOfMemory } from './abort.js';
import type { DriverExit } from './driver.js';
import { Rights } from './driver.js';
import { exceptionName, GENERAL_PROTECTION } from './exceptions.js';
import { type AccessViolation, rightsText } from './exits.js';
import { type Fault, fault, hex } from './faults.js';
import { GuestCode, guestCodeName } from './guest-codes.js';

/** An abort of the guest (guest-abi 5.2). @param bytes what it sent to port 102, without the terminator */
export function abortFault(bytes: Uint8Array): Fault {
  const abort = decodeAbort(bytes);
  const reason =
    abort.code === GuestCode.StackOverflow
      ? 'abort-stack-overflow'
      : isOutOfMemory(abort)
        ? 'abort-out-of-memory'
        : 'abort';
  return fault(reason, {
    message: abort.message,
    guestCode: abort.code,
    guestCodeName: guestCodeName(abort.code),
    ...(abort.vector !== undefined && { vector: abort.vector }),
  });
}

export function accessFault(exit: AccessViolation): Fault {
  const detail = { address: hex(exit.address), ...(exit.rip !== undefined && { rip: hex(exit.rip) }) };
  if ((exit.rights & Rights.STACK_GUARD) !== 0)
    return fault('stack-guard', { message: 'Stack overflow detected', ...detail });
  const access = exit.access.toUpperCase();
  return fault('access-violation', {
    message: `Memory Access Violation at address ${detail.address} of type ${access}, but memory is marked as ${rightsText(exit.rights)}`,
    ...detail,
  });
}

/** What a guest built for ring 0 asked of the CPU and does not get (ring0-guests 6.4). */
export function instructionFault(exit: Extract<DriverExit, { kind: 'unsupported-instruction' }>): Fault {
  const bytes = Buffer.from(exit.bytes)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  return fault('unsupported-instruction', {
    message: `Unsupported privileged instruction ${exit.name} (${bytes}) at ${hex(exit.rip)}`,
    vector: exceptionName(GENERAL_PROTECTION) ?? '',
    rip: hex(exit.rip),
  });
}

/** An exception that nothing in the guest takes. */
export function exceptionFault(exit: Extract<DriverExit, { kind: 'exception' }>): Fault {
  const vector = exceptionName(exit.vector) ?? `Vector${exit.vector}`;
  const at = `${vector} at ${hex(exit.rip)}`;
  return fault('exception', {
    message: exit.address === 0n && vector !== 'PageFault' ? at : `${at}, address ${hex(exit.address)}`,
    vector,
    rip: hex(exit.rip),
    ...((exit.address !== 0n || vector === 'PageFault') && { address: hex(exit.address) }),
  });
}
