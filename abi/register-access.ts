// SPDX-License-Identifier: Apache-2.0
/** What an access of some width at some offset says of the registers that it covers, whole or in part. */
import { fieldsText, type Register, registerFields } from './register.js';
import { hexWidth } from './text.js';

export interface PlacedRegister {
  readonly register: Register;
  /** Where it begins in its region. */
  readonly start: number;
  /** With what it belongs to: `MSIX.Control`. */
  readonly name: string;
}

/** The register that holds the byte at this offset. */
export type RegisterLookup = (offset: number) => PlacedRegister | undefined;

export interface TouchedRegister {
  /** `Command`, or `Command[15:8]` when only these bits were touched. */
  readonly name: string;
  readonly value: bigint;
  readonly width: number;
  readonly fields: Readonly<Record<string, bigint>>;
  readonly text: string;
}

/** In order of offset; bytes that no register covers are left out. */
export function touchedRegisters(
  lookup: RegisterLookup,
  offset: number,
  width: number,
  value: bigint,
): readonly TouchedRegister[] {
  const found: TouchedRegister[] = [];
  let at = offset;
  const end = offset + width;
  while (at < end) {
    const placed = lookup(at);
    if (placed === undefined) {
      at++;
      continue;
    }
    found.push(touched(placed, at, end, value >> BigInt((at - offset) * 8)));
    at = placed.start + placed.register.width;
  }
  return found;
}

function touched(
  { register, start, name }: PlacedRegister,
  from: number,
  end: number,
  value: bigint,
): TouchedRegister {
  const bytes = Math.min(start + register.width, end) - from;
  const held = BigInt.asUintN(bytes * 8, value);
  const whole = bytes === register.width;
  const low = (from - start) * 8;
  const shown = whole ? name : `${name}[${low + bytes * 8 - 1}:${low}]`;
  return {
    name: shown,
    value: held,
    width: bytes,
    // Only JSON and rules ask for it.
    get fields() {
      return registerFields(register, held, low, bytes * 8);
    },
    text: `${shown} = ${hexWidth(held, bytes)}${fieldsText(register, held, low, bytes * 8)}`,
  };
}
