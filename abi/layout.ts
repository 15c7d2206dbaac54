// SPDX-License-Identifier: Apache-2.0
/**
 * C structures as data. One description serves the decoder, the encoder (replay and the simulated kernel build the
 * same bytes), the text form, and the test that asks the kernel's own header for every offset.
 * All numbers are little endian: the recorder is x86-64 only.
 */
import { type FlagTable, flagNames, nameOrNumber, type ValueTable } from './names.js';
import { hex, size as sizeText } from './text.js';

/** Who fills a field: the caller, the kernel, or one after the other. */
export type Direction = 'in' | 'out' | 'inout';

interface FieldOptions {
  readonly direction?: Direction;
  readonly flags?: FlagTable;
  readonly values?: ValueTable;
  /** Shown in hexadecimal although it is narrow. */
  readonly hex?: true;
  /** A number of bytes. */
  readonly size?: true;
  /** An address in the caller's process. */
  readonly pointer?: true;
  /** Reserved: shown when it is not zero. */
  readonly hidden?: true;
  /** Never shown by itself: what it leads to is. */
  readonly silent?: true;
  /** The member's name in C, where ours differs (`header.id`). */
  readonly c?: string;
}

export interface Field<T extends number | bigint = number | bigint> extends FieldOptions {
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  readonly zero: T;
}

export type Fields = Readonly<Record<string, Field>>;

export interface Layout<F extends Fields = Fields> {
  /** The C name without `struct`. */
  readonly name: string;
  /** sizeof, flexible array not counted. */
  readonly size: number;
  readonly fields: F;
}

/** What a whole structure holds, typed by its description. */
export type Values<L extends Layout> = {
  readonly [K in keyof L['fields']]: L['fields'][K] extends Field<infer T> ? T : never;
};

export type PartialValues<L extends Layout> = { readonly [K in keyof Values<L>]?: Values<L>[K] };

export const u8 = (offset: number, options: FieldOptions = {}): Field<number> => ({
  ...options,
  offset,
  bytes: 1,
  signed: false,
  zero: 0,
});
export const u16 = (offset: number, options: FieldOptions = {}): Field<number> => ({
  ...options,
  offset,
  bytes: 2,
  signed: false,
  zero: 0,
});
export const u32 = (offset: number, options: FieldOptions = {}): Field<number> => ({
  ...options,
  offset,
  bytes: 4,
  signed: false,
  zero: 0,
});
export const s32 = (offset: number, options: FieldOptions = {}): Field<number> => ({
  ...options,
  offset,
  bytes: 4,
  signed: true,
  zero: 0,
});
export const u64 = (offset: number, options: FieldOptions = {}): Field<bigint> => ({
  ...options,
  offset,
  bytes: 8,
  signed: false,
  zero: 0n,
});

export function struct<const F extends Fields>(name: string, size: number, fields: F): Layout<F> {
  return { name, size, fields };
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export function readU64(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readU32(bytes, at + 4)) << 32n) | BigInt(readU32(bytes, at));
}

/** An unsigned little-endian number of 1 to 8 bytes; undefined when it reaches past the end. */
export function readUnsigned(bytes: Uint8Array, at: number, width: number): number | bigint | undefined {
  if (at < 0 || at + width > bytes.length) return undefined;
  if (width === 8) return readU64(bytes, at);
  let value = 0;
  for (let i = Math.min(width, 6) - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] as number);
  return value;
}

function readField(field: Field, bytes: Uint8Array, base: number): number | bigint | undefined {
  const value = readUnsigned(bytes, base + field.offset, field.bytes);
  return field.signed && typeof value === 'number' ? value | 0 : value;
}

/** Every field that the bytes hold in full: a driver may pass an older, shorter structure. */
export function decode<L extends Layout>(layout: L, bytes: Uint8Array, base = 0): PartialValues<L> {
  const values: Record<string, number | bigint> = {};
  for (const name in layout.fields) {
    const value = readField(layout.fields[name] as Field, bytes, base);
    if (value !== undefined) values[name] = value;
  }
  return values as PartialValues<L>;
}

/** The structure's bytes, `size` of them; what is not given is zero, what lies beyond `size` is left out. */
export function encode<L extends Layout>(
  layout: L,
  values: PartialValues<L>,
  size = layout.size,
): Uint8Array {
  const bytes = new Uint8Array(size);
  encodeInto(layout, values, bytes, 0);
  return bytes;
}

export function encodeInto<L extends Layout>(
  layout: L,
  values: PartialValues<L>,
  bytes: Uint8Array,
  base: number,
): void {
  const given = values as Readonly<Record<string, number | bigint | undefined>>;
  for (const name in layout.fields) {
    const value = given[name];
    if (value === undefined) continue;
    const field = layout.fields[name] as Field;
    const at = base + field.offset;
    if (at + field.bytes > bytes.length) continue;
    let rest = BigInt.asUintN(field.bytes * 8, BigInt(value));
    for (let i = 0; i < field.bytes; i++) {
      bytes[at + i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
  }
}

/** A field's value as a person reads it: by name where there is one. */
export function fieldText(field: Field, value: number | bigint): string {
  if (field.flags !== undefined) return flagNames(field.flags, Number(BigInt.asUintN(32, BigInt(value))));
  if (field.values !== undefined && typeof value === 'number') return nameOrNumber(field.values, value);
  if (field.size === true) return sizeText(value);
  if (field.hex === true || typeof value === 'bigint') return hex(value);
  return String(value);
}
