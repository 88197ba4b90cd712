import { hypervisorError } from './errors.js';

/** x87 and SSE state. Registers are bytes, least significant first. */
export interface FpuState {
  /** ST0 to ST7, 10 bytes each. */
  readonly st: readonly Uint8Array[];
  readonly controlWord: number;
  readonly statusWord: number;
  /** Abridged: a bit for each register that is not empty. */
  readonly tagWord: number;
  readonly lastOpcode: number;
  readonly lastInstruction: bigint;
  readonly lastOperand: bigint;
  /** XMM0 to XMM15, 16 bytes each. */
  readonly xmm: readonly Uint8Array[];
  readonly mxcsr: number;
}

/** Size of an image as FXSAVE64 stores it (Intel SDM vol. 1, 10.5.1). */
export const FXSAVE_BYTES = 512;
const ST_OFFSET = 32;
const ST_BYTES = 10;
const XMM_OFFSET = 160;
const SLOT_BYTES = 16;

/** What every call starts with (guest-abi 4.3). */
export function resetFpuState(): FpuState {
  return {
    st: Array.from({ length: 8 }, () => new Uint8Array(ST_BYTES)),
    controlWord: 0x37f,
    statusWord: 0,
    tagWord: 0,
    lastOpcode: 0,
    lastInstruction: 0n,
    lastOperand: 0n,
    xmm: Array.from({ length: 16 }, () => new Uint8Array(SLOT_BYTES)),
    mxcsr: 0x1f80,
  };
}

/** The state as an image for FXRSTOR64. */
export function fxsaveImage(state: FpuState): Uint8Array {
  const image = new Uint8Array(FXSAVE_BYTES);
  const view = new DataView(image.buffer);
  view.setUint16(0, state.controlWord, true);
  view.setUint16(2, state.statusWord, true);
  view.setUint8(4, state.tagWord);
  view.setUint16(6, state.lastOpcode, true);
  view.setBigUint64(8, state.lastInstruction, true);
  view.setBigUint64(16, state.lastOperand, true);
  view.setUint32(24, state.mxcsr, true);
  for (const [index, bytes] of state.st.slice(0, 8).entries())
    image.set(bytes.subarray(0, ST_BYTES), ST_OFFSET + SLOT_BYTES * index);
  for (const [index, bytes] of state.xmm.slice(0, 16).entries())
    image.set(bytes.subarray(0, SLOT_BYTES), XMM_OFFSET + SLOT_BYTES * index);
  return image;
}

/**
 * The state in an image of FXSAVE64, or at the start of an XSAVE area.
 *
 * @throws MAYFLY_ERR_VM_RANGE when the image is shorter than 512 bytes.
 */
export function fpuStateOf(image: Uint8Array): FpuState {
  if (image.byteLength < FXSAVE_BYTES)
    throw hypervisorError('MAYFLY_ERR_VM_RANGE', `an FXSAVE image has ${FXSAVE_BYTES} bytes`);
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const slots = (offset: number, count: number, lengthBytes: number) =>
    Array.from({ length: count }, (_, index) =>
      image.slice(offset + SLOT_BYTES * index, offset + SLOT_BYTES * index + lengthBytes),
    );
  return {
    st: slots(ST_OFFSET, 8, ST_BYTES),
    controlWord: view.getUint16(0, true),
    statusWord: view.getUint16(2, true),
    tagWord: view.getUint8(4),
    lastOpcode: view.getUint16(6, true),
    lastInstruction: view.getBigUint64(8, true),
    lastOperand: view.getBigUint64(16, true),
    xmm: slots(XMM_OFFSET, 16, SLOT_BYTES),
    mxcsr: view.getUint32(24, true),
  };
}
