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
    found.push(new Touched(placed, at, end, value >> BigInt((at - offset) * 8)));
    at = placed.start + placed.register.width;
  }
  return found;
}

/** The same as text: ` Command = 0x0006 MEM=1, Status = 0x0010`; empty where there is no register. */
export function touchedText(lookup: RegisterLookup, offset: number, width: number, value: bigint): string {
  const placed = lookup(offset);
  if (placed !== undefined && placed.start === offset && placed.register.width === width) {
    return ` ${placed.name} = ${hexWidth(value, width)}${fieldsText(placed.register, value)}`;
  }
  let text = '';
  for (const touched of touchedRegisters(lookup, offset, width, value)) {
    text += text === '' ? ` ${touched.text}` : `, ${touched.text}`;
  }
  return text;
}

/** A class, not a literal: an accessor in a literal costs V8 a hidden class for each object. */
class Touched implements TouchedRegister {
  readonly name: string;
  readonly value: bigint;
  readonly width: number;
  readonly #register: Register;
  readonly #low: number;

  constructor({ register, start, name }: PlacedRegister, from: number, end: number, value: bigint) {
    this.width = Math.min(start + register.width, end) - from;
    this.value = BigInt.asUintN(this.width * 8, value);
    this.#register = register;
    this.#low = (from - start) * 8;
    const whole = this.width === register.width;
    this.name = whole ? name : `${name}[${this.#low + this.width * 8 - 1}:${this.#low}]`;
  }

  get fields(): Readonly<Record<string, bigint>> {
    return registerFields(this.#register, this.value, this.#low, this.width * 8);
  }

  get text(): string {
    const fields = fieldsText(this.#register, this.value, this.#low, this.width * 8);
    return `${this.name} = ${hexWidth(this.value, this.width)}${fields}`;
  }
}
