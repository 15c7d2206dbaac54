// SPDX-License-Identifier: Apache-2.0
import { type ElfFile, nameIn, type Section, SectionType } from './elf.js';

export interface NamedFunction {
  readonly name: string;
  readonly address: number;
}

const SYMBOL_BYTES = 24;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SHN_UNDEF = 0;
/** User space of x86-64 ends far below; what claims to lie above is no code. */
const ADDRESS_LIMIT = 2 ** 57;
const NAME_MAX = 4096;
/** How many functions may lie within one another before one is not found. */
const NESTED = 16;

/** STB_LOCAL, STB_GLOBAL, STB_WEAK: the name that others use is the better one. */
const bindingRank: readonly number[] = [2, 0, 1];

/** The functions of one symbol table, by address. */
export class FunctionTable {
  readonly #symbols: DataView;
  readonly #strings: Uint8Array;
  readonly #starts: Float64Array;
  /** Of each start, the symbol's index. */
  readonly #order: Uint32Array;

  private constructor(symbols: DataView, strings: Uint8Array, starts: Float64Array, order: Uint32Array) {
    this.#symbols = symbols;
    this.#strings = strings;
    this.#starts = starts;
    this.#order = order;
  }

  /** Undefined when the file has no such table, or none that can be read. */
  static of(elf: ElfFile, type: number): FunctionTable | undefined {
    const section = elf.sections.find((candidate) => candidate.type === type);
    const strings: Section | undefined = section && elf.sections[section.link];
    if (section === undefined || strings?.type !== SectionType.STRTAB) return undefined;
    const content = elf.content(section);
    const names = elf.content(strings);
    if (content === undefined || names === undefined) return undefined;
    const symbols = new DataView(content.buffer, content.byteOffset, content.byteLength);
    const count = Math.floor(content.length / SYMBOL_BYTES);
    const found = new Uint32Array(count);
    let functions = 0;
    for (let n = 0; n < count; n++) {
      const kind = symbols.getUint8(n * SYMBOL_BYTES + 4) & 0xf;
      if (kind !== STT_FUNC && kind !== STT_GNU_IFUNC) continue;
      if (symbols.getUint16(n * SYMBOL_BYTES + 6, true) === SHN_UNDEF) continue;
      if (startOf(symbols, n) < ADDRESS_LIMIT) found[functions++] = n;
    }
    const order = found.slice(0, functions);
    order.sort((a, b) => startOf(symbols, a) - startOf(symbols, b) || a - b);
    const starts = Float64Array.from(order, (n) => startOf(symbols, n));
    return new FunctionTable(symbols, names, starts, order);
  }

  /** The function that the address lies in. One of size 0 (assembly) reaches up to the next. */
  at(address: number): NamedFunction | undefined {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    const nearest = this.#starts[low - 1];
    for (let n = low - 1, steps = 0; n >= 0 && steps < NESTED; steps++) {
      const start = this.#starts[n] as number;
      let best: { readonly name: string; readonly rank: number } | undefined;
      for (; n >= 0 && this.#starts[n] === start; n--) {
        const symbol = this.#order[n] as number;
        const size = word(this.#symbols, symbol * SYMBOL_BYTES + 16);
        if (size === 0 ? start !== nearest : address >= start + size) continue;
        const name = nameIn(this.#strings, this.#symbols.getUint32(symbol * SYMBOL_BYTES, true));
        if (name === undefined || name === '' || name.length > NAME_MAX) continue;
        const binding = this.#symbols.getUint8(symbol * SYMBOL_BYTES + 4) >> 4;
        const rank = bindingRank[binding] ?? 3;
        if (best === undefined || rank < best.rank || (rank === best.rank && plainer(name, best.name))) {
          best = { name, rank };
        }
      }
      if (best !== undefined) return { name: best.name, address: start };
    }
    return undefined;
  }
}

function word(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

function startOf(symbols: DataView, n: number): number {
  return word(symbols, n * SYMBOL_BYTES + 8);
}

/** `ioctl` before `__ioctl`: aliases of one function must always be called the same. */
function plainer(a: string, b: string): boolean {
  const underscores = (name: string) => /^_*/.exec(name)?.[0].length ?? 0;
  return underscores(a) - underscores(b) < 0 || (underscores(a) === underscores(b) && a < b);
}
