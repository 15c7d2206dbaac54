// SPDX-License-Identifier: Apache-2.0
/**
 * Registers that are not the same each time (counters, clocks, status bits): their bits are not compared. One line
 * each: `BAR0 CSTS`, `BAR0+0x20 0xff`, `config Status 0x10`; # begins a comment.
 */
import { UserError } from '../../abi/user-error.js';
import { regionName } from '../../abi/vfio/regions.js';

interface Mask {
  readonly region: string;
  readonly register: string | undefined;
  readonly offset: number | undefined;
  /** Undefined: all bits. */
  readonly bits: bigint | undefined;
  /** As it was given; undefined for what was learnt. */
  readonly text?: string;
}

const LINE =
  /^(BAR[0-5]|ROM|VGA|config|region\d+)(?:\+(0x[0-9a-f]+|\d+)|\s+([A-Za-z]\S*))(?:\s+(0x[0-9a-f]+|\d+))?$/i;
const ALL = (1n << 64n) - 1n;

export class Masks {
  readonly #masks: Mask[];
  readonly #met = new Set<Mask>();

  constructor(masks: readonly Mask[] = []) {
    this.#masks = [...masks];
  }

  /** Bits that are not compared in a register of the region, whose first byte is at the offset. */
  bits(region: number, offset: number, register: string | undefined): bigint {
    if (this.#masks.length === 0) return 0n;
    const name = regionName(region);
    let bits = 0n;
    for (const mask of this.#masks) {
      if (mask.region !== name) continue;
      if (mask.offset === undefined ? mask.register !== register : mask.offset !== offset) continue;
      bits |= mask.bits ?? ALL;
      this.#met.add(mask);
    }
    return bits;
  }

  /** What was found to change from one recording to the other. */
  add(region: number, offset: number, bits: bigint): void {
    this.#masks.push({ region: regionName(region), register: undefined, offset, bits });
  }

  /** Given, and nothing that differed was covered by it: out of date, or misspelt. */
  get unmet(): readonly string[] {
    return this.#masks.flatMap((mask) => (this.#met.has(mask) ? [] : (mask.text ?? [])));
  }
}

export function parseMasks(text: string, file: string): Masks {
  const masks: Mask[] = [];
  text.split('\n').forEach((whole, i) => {
    const line = whole.replace(/#.*/, '').trim();
    if (line === '') return;
    const found = LINE.exec(line);
    if (found === null)
      throw new UserError(
        `${file}:${i + 1}: '${line}' is no mask; write REGION REGISTER [BITS] or REGION+OFFSET [BITS], like BAR0 CSTS 0x1`,
      );
    const [, region = '', offset, register, bits] = found;
    masks.push({
      text: line,
      region: /^(bar|rom|vga)/i.test(region) ? region.toUpperCase() : region.toLowerCase(),
      register,
      offset: offset === undefined ? undefined : Number(offset),
      bits: bits === undefined ? undefined : BigInt(bits),
    });
  });
  return new Masks(masks);
}
