// SPDX-License-Identifier: Apache-2.0
/**
 * Register maps of device memory as data: README.md says how to add one. A map knows its devices by vendor, device id
 * or class; an array stands for doorbells, queues and table entries.
 */
import type { Register } from '../register.js';
import type { PlacedRegister, RegisterLookup } from '../register-access.js';

/** What a map is chosen by. */
export interface DeviceIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number;
}

export interface DeviceMatch {
  readonly vendor?: number;
  readonly devices?: readonly number[];
  /** All 24 bits. */
  readonly classCode?: number;
}

/** `count` groups of registers, `stride` bytes apart; `{n}` in a name is the number of the group. */
export interface RegisterArray {
  readonly offset: number;
  readonly stride: number;
  readonly count: number;
  /** Offsets from the group's start. */
  readonly registers: readonly Register[];
}

/** Registers from `base` on in one region. */
export interface RegisterBlock {
  readonly region: number;
  readonly base: number;
  readonly registers: readonly Register[];
  readonly arrays?: readonly RegisterArray[];
}

/** Reads what the driver was seen to read; undefined where it has not. */
export type SeenReader = (region: number, offset: number, width: 4 | 8) => bigint | undefined;

export interface LayoutRegister {
  readonly region: number;
  readonly offset: number;
  readonly mask: bigint;
}

export interface RegisterMap {
  readonly name: string;
  /** The document that the registers are from. */
  readonly source: string;
  readonly match: readonly DeviceMatch[];
  /** A function where the layout depends on a register (NVMe's doorbell stride): it is asked again when that is read. */
  readonly blocks: readonly RegisterBlock[] | ((seen: SeenReader) => readonly RegisterBlock[]);
  /** Registers that the layout depends on, and by which of their bits. */
  readonly layoutRegisters?: readonly LayoutRegister[];
}

export function matches(match: DeviceMatch, device: DeviceIdentity): boolean {
  return (
    (match.vendor === undefined || match.vendor === device.vendor) &&
    (match.devices === undefined || match.devices.includes(device.device)) &&
    (match.classCode === undefined || match.classCode === device.classCode)
  );
}

/** How many offsets are remembered: a hostile trace may touch them all. */
const REMEMBERED = 1 << 16;

/** Answers which register holds a byte of one region. */
export function blockLookup(blocks: readonly RegisterBlock[]): RegisterLookup {
  const single = new Map<number, PlacedRegister>();
  const arrays: (RegisterArray & { readonly base: number })[] = [];
  for (const { base, registers, arrays: more } of blocks) {
    for (const register of registers) {
      const start = base + register.offset;
      const placed = { register, start, name: register.name };
      for (let at = start; at < start + register.width; at++) if (!single.has(at)) single.set(at, placed);
    }
    for (const array of more ?? []) arrays.push({ ...array, base: base + array.offset });
  }
  const remembered = new Map<number, PlacedRegister | undefined>();
  return (offset) => {
    const known = single.get(offset);
    if (known !== undefined || arrays.length === 0) return known;
    if (remembered.has(offset)) return remembered.get(offset);
    const found = inArrays(arrays, offset);
    if (remembered.size >= REMEMBERED) remembered.clear();
    remembered.set(offset, found);
    return found;
  };
}

function inArrays(
  arrays: readonly (RegisterArray & { readonly base: number })[],
  offset: number,
): PlacedRegister | undefined {
  for (const { base, stride, count, registers } of arrays) {
    const group = Math.floor((offset - base) / stride);
    if (group < 0 || group >= count) continue;
    const within = offset - base - group * stride;
    const register = registers.find((entry) => within >= entry.offset && within < entry.offset + entry.width);
    if (register !== undefined) {
      const start = base + group * stride + register.offset;
      return { register, start, name: register.name.replace('{n}', String(group)) };
    }
  }
  return undefined;
}
