import { defineErrors } from '@mayfly/contracts';

/** Errors of the hypervisor library: code, who has to act, whether the sandbox is poisoned by it. */
export const HYPERVISOR_ERRORS = {
  MAYFLY_ERR_VM_BUSY: {
    status: 500,
    fault: 'caller',
    retryable: true,
    poisons: false,
    title: 'The VM is running',
  },
  MAYFLY_ERR_VM_CLOSED: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'The VM is closed',
  },
  MAYFLY_ERR_VM_RANGE: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Outside guest memory',
  },
  MAYFLY_ERR_VM_PLAN: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Invalid VM plan',
  },
  MAYFLY_ERR_VM_REQUEST: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Invalid run request',
  },
  MAYFLY_ERR_VM_SNAPSHOT_MISMATCH: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Snapshot of another plan',
  },
  MAYFLY_ERR_DRIVER_CLOSED: {
    status: 500,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'The driver is closed',
  },
  MAYFLY_ERR_NO_HYPERVISOR: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'No hypervisor on this host',
  },
  MAYFLY_ERR_HYPERVISOR: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: true,
    title: 'The hypervisor failed',
  },
} as const;

export const hypervisorError = defineErrors(HYPERVISOR_ERRORS);
