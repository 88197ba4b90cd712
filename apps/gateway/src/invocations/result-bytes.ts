import type { BlobStore } from '@mayfly/blobs';
import { type InvocationRecord, isMayflyError, LIMITS } from '@mayfly/contracts';
import { gatewayError } from '../errors.js';

/**
 * The bytes of a result that is not inside its record: those that came with the reply, else from the blob store.
 * @throws MAYFLY_ERR_GATEWAY_RESULT_EXPIRED when the store has them no longer, or never had
 */
export async function resultBytes(
  blobs: BlobStore,
  record: InvocationRecord,
  body?: Uint8Array,
): Promise<Uint8Array | undefined> {
  const { result } = record;
  if (record.resultDropped === true && record.outcome === 'succeeded')
    throw gatewayError('MAYFLY_ERR_GATEWAY_RESULT_EXPIRED', 'the function keeps no results', {
      details: { invocationId: record.invocationId },
    });
  if (result?.kind !== 'blob' || body?.byteLength === result.lengthBytes) return body;
  try {
    return await blobs.get(record.tenant, result.sha256, { limitBytes: LIMITS.resultBytes });
  } catch (error) {
    if (!isMayflyError(error, 'MAYFLY_ERR_BLOB_MISSING')) throw error;
    throw gatewayError('MAYFLY_ERR_GATEWAY_RESULT_EXPIRED', 'the result is no longer kept', {
      cause: error,
      details: { invocationId: record.invocationId },
    });
  }
}
