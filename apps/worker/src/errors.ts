import { defineErrors } from '@mayfly/contracts';

/** Errors of the worker: code, who has to act, whether a retry may cure it. */
export const WORKER_ERRORS = {
  MAYFLY_ERR_CONFIG: {
    status: 500,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'Invalid configuration',
  },
  /** A job that this worker cannot read; it fails by name and is kept for a look, never retried. */
  MAYFLY_ERR_JOB_MALFORMED: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The job is malformed',
  },
  MAYFLY_ERR_JOB_VERSION: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The job has a version that this worker does not know',
  },
  /** At least one invocation of the job met a host fault that another attempt may cure. */
  MAYFLY_ERR_JOB_UNSETTLED: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'Invocations of the job are not settled',
  },
  MAYFLY_ERR_JOB_LOST: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'The job belongs to another worker',
  },
  MAYFLY_ERR_POOL_FULL: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'No room for another sandbox',
  },
  MAYFLY_ERR_ISOLATION: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'This worker serves another tenant only',
  },
  /** What a cell says is no proof: its tenant has the damage, the host goes on. */
  MAYFLY_ERR_CELL_UNCLEAN: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: true,
    title: 'The cell says that a restore left something behind, and was killed',
  },
  /** Another worker may be of the kind that the tenant's policy requires. */
  MAYFLY_ERR_KVM_KIND: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'This worker stands on another kind of KVM than the tenant requires',
  },
  /** Its hosts died, again and again; an operator may lift it. */
  MAYFLY_ERR_VERSION_QUARANTINED: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The version is quarantined',
  },
  MAYFLY_ERR_JAIL_INCOMPLETE: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'This host does not allow what separates tenants',
  },
  /** The text goes to the guest, as the error of its host call. */
  MAYFLY_ERR_GUEST_REQUEST: {
    status: 502,
    fault: 'guest',
    retryable: false,
    poisons: false,
    title: 'The guest asked the host for what its call does not have',
  },
  MAYFLY_ERR_SECRET_UNREADABLE: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'A secret that was granted cannot be read',
  },
  MAYFLY_ERR_POOL_CLOSED: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'The sandbox pool is closed',
  },
} as const;

export const workerError = defineErrors(WORKER_ERRORS);
