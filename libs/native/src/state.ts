import { REGISTER_NAMES, type RegisterValues } from './registers.js';

/** Sets of registers that are read and set as one (`src/core/vcpu_access.hpp`). */
export const StateKind = { General: 0, Special: 1, Fpu: 2 } as const;

/** A segment register with its hidden part; `limit` in bytes. */
export interface SegmentValues {
  readonly base: bigint;
  readonly limit: number;
  readonly selector: number;
  readonly type: number;
  readonly present: boolean;
  readonly privilegeLevel: number;
  readonly codeOrData: boolean;
  readonly longMode: boolean;
  readonly defaultBig: boolean;
  readonly granularity: boolean;
  readonly available: boolean;
}

interface TableValues {
  readonly base: bigint;
  readonly limit: number;
}

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const TABLES = ['gdt', 'idt'] as const;
const CONTROLS = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const;

export type SpecialRegisterValues = Readonly<
  Record<(typeof SEGMENTS)[number], SegmentValues> &
    Record<(typeof TABLES)[number], TableValues> &
    Record<(typeof CONTROLS)[number], bigint>
>;

const FXSAVE_BYTES = 512;
const SEGMENT_BYTES = 24;
const TABLE_BYTES = 16;
const WORD_BYTES = 8;
const TABLES_OFFSET = SEGMENTS.length * SEGMENT_BYTES;
const CONTROLS_OFFSET = TABLES_OFFSET + TABLES.length * TABLE_BYTES;
const SPECIAL_BYTES = CONTROLS_OFFSET + CONTROLS.length * WORD_BYTES;

/** Bytes of a state that was read. @param kind of `StateKind` */
export function stateBytes(kind: number): number {
  if (kind === StateKind.General) return REGISTER_NAMES.length * WORD_BYTES;
  return kind === StateKind.Special ? SPECIAL_BYTES : FXSAVE_BYTES;
}

/** Bytes of a segment that are one flag or small number each, from offset 14 (`SegmentRegister`). */
const SEGMENT_FIELDS_OFFSET = 14;

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function readRegisters(bytes: Uint8Array): RegisterValues {
  const view = viewOf(bytes);
  const values = {} as RegisterValues;
  for (const [i, name] of REGISTER_NAMES.entries()) values[name] = view.getBigUint64(i * WORD_BYTES, true);
  return values;
}

/** Registers that are not named keep their value. */
export function packRegisters(registers: Partial<RegisterValues>): Uint8Array {
  const words = new BigUint64Array(1 + REGISTER_NAMES.length);
  for (const [i, name] of REGISTER_NAMES.entries()) {
    const value = registers[name];
    if (value === undefined) continue;
    words[0] = (words[0] as bigint) | (1n << BigInt(i));
    words[1 + i] = value;
  }
  return new Uint8Array(words.buffer);
}

export function readSpecialRegisters(bytes: Uint8Array): SpecialRegisterValues {
  const view = viewOf(bytes);
  const segments = SEGMENTS.map((name, i) => [name, readSegment(view, i * SEGMENT_BYTES)]);
  const tables = TABLES.map((name, i) => {
    const at = TABLES_OFFSET + i * TABLE_BYTES;
    return [name, { base: view.getBigUint64(at, true), limit: view.getUint16(at + WORD_BYTES, true) }];
  });
  const controls = CONTROLS.map((name, i) => [
    name,
    view.getBigUint64(CONTROLS_OFFSET + i * WORD_BYTES, true),
  ]);
  return Object.fromEntries([...segments, ...tables, ...controls]) as SpecialRegisterValues;
}

export function packSpecialRegisters(registers: SpecialRegisterValues): Uint8Array {
  const bytes = new Uint8Array(SPECIAL_BYTES);
  const view = viewOf(bytes);
  for (const [i, name] of SEGMENTS.entries()) packSegment(view, i * SEGMENT_BYTES, registers[name]);
  for (const [i, name] of TABLES.entries()) {
    const at = TABLES_OFFSET + i * TABLE_BYTES;
    view.setBigUint64(at, registers[name].base, true);
    view.setUint16(at + WORD_BYTES, registers[name].limit, true);
  }
  for (const [i, name] of CONTROLS.entries())
    view.setBigUint64(CONTROLS_OFFSET + i * WORD_BYTES, registers[name], true);
  return bytes;
}

function readSegment(view: DataView, at: number): SegmentValues {
  const field = (index: number) => view.getUint8(at + SEGMENT_FIELDS_OFFSET + index);
  return {
    base: view.getBigUint64(at, true),
    limit: view.getUint32(at + 8, true),
    selector: view.getUint16(at + 12, true),
    type: field(0),
    present: field(1) !== 0,
    privilegeLevel: field(2),
    defaultBig: field(3) !== 0,
    codeOrData: field(4) !== 0,
    longMode: field(5) !== 0,
    granularity: field(6) !== 0,
    available: field(7) !== 0,
  };
}

function packSegment(view: DataView, at: number, segment: SegmentValues): void {
  view.setBigUint64(at, segment.base, true);
  view.setUint32(at + 8, segment.limit, true);
  view.setUint16(at + 12, segment.selector, true);
  const { type, present, privilegeLevel, defaultBig, codeOrData, longMode, granularity, available } = segment;
  const fields = [type, present, privilegeLevel, defaultBig, codeOrData, longMode, granularity, available];
  for (const [i, value] of fields.entries()) view.setUint8(at + SEGMENT_FIELDS_OFFSET + i, Number(value));
}
