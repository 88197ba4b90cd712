import { gatewayError } from '../errors.js';

/** 422 as the draft wants it. */
export function keyReused() {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_IDEMPOTENCY_KEY_REUSED',
    'the first request with this key had another body',
  );
}
