import { Builder, type Offset } from 'flatbuffers';

const INITIAL_BYTES = 4096;
/** A builder that grew past this is dropped, so that one large call does not hold its memory for good. */
const KEEP_BYTES = 1024 * 1024;

let builder = new Builder(INITIAL_BYTES);

/**
 * Encodes one size-prefixed buffer with a builder that is reused.
 *
 * @returns a view that holds until the next call: use or copy it before then.
 */
export function encodeSizePrefixed(write: (builder: Builder) => Offset): Uint8Array {
  if (builder.dataBuffer().capacity() > KEEP_BYTES) builder = new Builder(INITIAL_BYTES);
  else builder.clear();
  builder.finishSizePrefixed(write(builder));
  return builder.asUint8Array();
}
