// SPDX-License-Identifier: Apache-2.0
/** Tables of names for bits and for numbers. What is not in a table is shown as its number, never refused. */

type Numbers = Readonly<Record<string, number>>;

/** The type keeps each name, so that code can say `DMA_MAP_FLAGS.bits.READ` and a misspelt one doesn't compile. */
export interface FlagTable<B extends Numbers = Numbers> {
  /** What C puts before each name (`VFIO_DMA_MAP_FLAG_`), so that a test can ask the kernel's header. */
  readonly prefix: string;
  readonly bits: B;
}

export interface ValueTable<V extends Numbers = Numbers> {
  readonly prefix: string;
  readonly values: V;
}

export function flagTable<const B extends Numbers>(prefix: string, bits: B): FlagTable<B> {
  return { prefix, bits };
}

export function valueTable<const V extends Numbers>(prefix: string, values: V): ValueTable<V> {
  return { prefix, values };
}

/** The names of the bits that are set, and the rest as one number: `READ|WRITE|0x40`. */
export function flagNames(table: FlagTable, value: number): string {
  let rest = value >>> 0;
  if (rest === 0) return '0';
  let text = '';
  for (const name in table.bits) {
    const bits = (table.bits[name] as number) >>> 0;
    if (bits !== 0 && (rest & bits) >>> 0 === bits) {
      text += text === '' ? name : `|${name}`;
      rest = (rest & ~bits) >>> 0;
    }
  }
  if (rest !== 0) text += `${text === '' ? '' : '|'}0x${rest.toString(16)}`;
  return text;
}

const reversed = new WeakMap<ValueTable, ReadonlyMap<number, string>>();

export function valueName(table: ValueTable, value: number): string | undefined {
  let names = reversed.get(table);
  if (names === undefined) {
    const map = new Map<number, string>();
    for (const [name, number] of Object.entries(table.values)) if (!map.has(number)) map.set(number, name);
    names = map;
    reversed.set(table, names);
  }
  return names.get(value);
}

/** The name, or the number where there is none. */
export function nameOrNumber(table: ValueTable, value: number): string {
  return valueName(table, value) ?? String(value);
}
