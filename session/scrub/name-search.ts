// SPDX-License-Identifier: Apache-2.0
import { readU32 } from '../../abi/layout.js';

/** Shorter names are found anywhere by chance. */
export const NAME_LEAST = 4;

/** Which of many names occur in bytes: one look at each place, however many names there are. */
export class NameSearch {
  /** By their first four bytes. */
  readonly #names = new Map<number, { readonly name: string; readonly bytes: Uint8Array }[]>();

  /** Names shorter than NAME_LEAST bytes are never found. */
  constructor(names: readonly string[]) {
    for (const name of names) {
      const bytes = Buffer.from(name);
      if (bytes.length < NAME_LEAST) continue;
      const start = readU32(bytes, 0);
      const known = this.#names.get(start);
      if (known === undefined) this.#names.set(start, [{ name, bytes }]);
      else known.push({ name, bytes });
    }
  }

  /** Of those that are at least so many bytes long. */
  in(bytes: Uint8Array, least = NAME_LEAST): ReadonlySet<string> {
    const found = new Set<string>();
    if (this.#names.size === 0) return found;
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + NAME_LEAST <= all.length; at++) {
      for (const { name, bytes: wanted } of this.#names.get(readU32(all, at)) ?? []) {
        const end = at + wanted.length;
        if (wanted.length < least || end > all.length || found.has(name)) continue;
        if (all.compare(wanted, 0, wanted.length, at, end) === 0) found.add(name);
      }
    }
    return found;
  }
}
