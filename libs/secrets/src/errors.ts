import { defineErrors } from '@mayfly/contracts';

/** Errors of what is kept encrypted. No text of theirs holds a key or a plain text. */
export const secretsError = defineErrors({
  MAYFLY_ERR_SECRETS_KEY_FILE: {
    status: 500,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The file of keys for secrets cannot be used',
  },
  MAYFLY_ERR_SECRETS_KEY_UNKNOWN: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The secret was sealed with a key that is not here',
  },
  MAYFLY_ERR_SECRETS_SEALED: {
    status: 503,
    fault: 'host',
    retryable: false,
    poisons: false,
    title: 'The sealed secret is damaged, or belongs elsewhere',
  },
});
