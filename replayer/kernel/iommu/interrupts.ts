// SPDX-License-Identifier: Apache-2.0
/**
 * Message signalled interrupts as an IOMMU remaps them: a message's address names an entry of a table
 * (VT-d 5.1.3, remappable format); what names no entry, or another function's, is stopped.
 */

interface Entry {
  readonly owner: object;
  readonly deliver: () => void;
}

const WINDOW = 0xfee0_0000;
// Interrupt format and sub-handle valid.
const REMAPPABLE = 0x18;
const ENTRIES = 0x8000;

export class InterruptRemapping {
  readonly #table = new Map<number, Entry>();
  #next = 1;

  /** A run of entries; the first one's number, which a multiple MSI counts on from. */
  allocate(owner: object, delivers: readonly (() => void)[]): number {
    const count = delivers.length;
    let base = this.#next;
    for (let tries = 0; tries < ENTRIES; tries++, base++) {
      if (base + count > ENTRIES) base = 1;
      if (delivers.every((_, i) => !this.#table.has(base + i))) break;
    }
    delivers.forEach((deliver, i) => {
      this.#table.set(base + i, { owner, deliver });
    });
    this.#next = base + count;
    return base;
  }

  free(base: number, count: number): void {
    for (let i = 0; i < count; i++) this.#table.delete(base + i);
  }

  /** What the kernel writes into a vector's address register. */
  address(entry: number): bigint {
    return BigInt((WINDOW | REMAPPABLE | ((entry & 0x7fff) << 5)) >>> 0);
  }

  /** False when the message is stray. */
  message(owner: object, address: bigint, data: number): boolean {
    if (address >> 32n !== 0n || !isInterruptAddress(address)) return false;
    const low = Number(address);
    if ((low & REMAPPABLE) !== REMAPPABLE) return false;
    const entry = this.#table.get(((low >>> 5) & 0x7fff) + (data & 0xffff));
    if (entry === undefined || entry.owner !== owner) return false;
    entry.deliver();
    return true;
  }
}

export function isInterruptAddress(address: bigint): boolean {
  return address >> 20n === BigInt(WINDOW >>> 20);
}
