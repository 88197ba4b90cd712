import { defineErrors } from '@mayfly/contracts';

/** Errors of the blob store. */
export const blobError = defineErrors({
  MAYFLY_ERR_BLOB_KEY: {
    status: 400,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Not a blob key',
  },
  MAYFLY_ERR_BLOB_TOO_LARGE: {
    status: 413,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'Too many bytes',
  },
  MAYFLY_ERR_BLOB_DIGEST: {
    status: 400,
    fault: 'caller',
    retryable: false,
    poisons: false,
    title: 'The bytes do not match their digest',
  },
  MAYFLY_ERR_BLOB_MISSING: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'A stored blob is missing',
  },
  MAYFLY_ERR_BLOB_CORRUPT: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'A stored blob does not match its hash',
  },
  MAYFLY_ERR_BLOB_STORAGE: {
    status: 503,
    fault: 'host',
    retryable: true,
    poisons: false,
    title: 'The blob store failed',
  },
});
