// SPDX-License-Identifier: Apache-2.0
/** Registers with bit fields as data: PCI configuration space, its capabilities, and device memory alike. */
import { hex, hexWidth } from './text.js';

/** A bit number, or [lowest bit, width], or [lowest bit, width, names by value]. */
export type BitField =
  | number
  | readonly [low: number, width: number, names?: Readonly<Record<number, string>>];

export interface Register {
  readonly name: string;
  readonly offset: number;
  /** Bytes: 1, 2, 3 (class code), 4 or 8. */
  readonly width: number;
  readonly fields: Readonly<Record<string, BitField>>;
  /** The macro of linux/pci_regs.h that has this offset, which a test asks. */
  readonly linux?: string;
  /** Clause of the specification that defines it. */
  readonly clause?: string;
  /** The bits that tell one card from all others: of a serial number, a MAC address. */
  readonly identity?: bigint;
}

interface RegisterOptions {
  readonly fields?: Readonly<Record<string, BitField>>;
  readonly identity?: bigint;
  readonly linux?: string;
  readonly clause?: string;
}

export function register(
  name: string,
  offset: number,
  width: number,
  options: RegisterOptions = {},
): Register {
  return { fields: {}, ...options, name, offset, width };
}

function fieldBits(field: BitField): readonly [low: number, width: number] {
  return typeof field === 'number' ? [field, 1] : [field[0], field[1]];
}

/** Field values by name, those that lie wholly in bits [from, from + bits) of the register. */
export function registerFields(
  register: Register,
  value: bigint,
  from = 0,
  bits = register.width * 8,
): Readonly<Record<string, bigint>> {
  const values: Record<string, bigint> = {};
  for (const name in register.fields) {
    const [low, width] = fieldBits(register.fields[name] as BitField);
    if (low >= from && low + width <= from + bits)
      values[name] = BigInt.asUintN(width, value >> BigInt(low - from));
  }
  return values;
}

/** ` MEM=1 MASTER=1`: the fields that are not zero, and those that have a name for zero. */
export function fieldsText(register: Register, value: bigint, from = 0, bits = register.width * 8): string {
  let text = '';
  // Registers are narrow, and shifts of a Number are many times faster.
  const narrow = bits <= 32 ? Number(value) : 0;
  for (const name in register.fields) {
    const field = register.fields[name] as BitField;
    const single = typeof field === 'number';
    const low = single ? field : field[0];
    const width = single ? 1 : field[1];
    if (low < from || low + width > from + bits) continue;
    const held =
      bits <= 32
        ? width === 32
          ? narrow
          : (narrow >>> (low - from)) & ((1 << width) - 1)
        : Number(BigInt.asUintN(width, value >> BigInt(low - from)));
    const named = single ? undefined : field[2]?.[held];
    if (named !== undefined) text += ` ${name}=${named}`;
    else if (held !== 0) text += ` ${name}=${held < 10 || width < 8 ? held : hex(held)}`;
  }
  return text;
}

/** `Command = 0x0006 MEM=1 MASTER=1` */
export function registerText(register: Register, value: bigint): string {
  return `${register.name} = ${hexWidth(value, register.width)}${fieldsText(register, value)}`;
}
