// SPDX-License-Identifier: Apache-2.0
/**
 * What a replay on real hardware holds back. A device that is told to use addresses from another life must not be a bus
 * master, unless the user says so and every recorded mapping is there; and the MSI-X table is the kernel's: what a driver
 * stored there are the recorded machine's message addresses.
 */
import type { ConfigSpace } from '../../abi/pci/config-space.js';
import type { RegisterBlock } from '../../abi/registers/map.js';
import { msixBlocks } from '../../abi/registers/msix-table.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import type { Masks } from './masks.js';

const COMMAND = 0x04;
const COMMAND_MASTER = 0x04;
/** PCIe 5.0 §7.7.2.5; the pending bits are eight bytes each. */
const TABLE_ENTRY_BYTES = 16;
/** Why stores to the table are held back. */
export const TABLE_REASON = 'stores to the MSI-X table, which is the kernel’s';

export class Guard {
  readonly #allowDma: boolean;
  readonly #masks: Masks;
  readonly #config: () => ConfigSpace | undefined;
  #missing: string | undefined;
  #version = -1;
  #space: ConfigSpace | undefined;
  #table: { readonly region: number; readonly start: number; readonly end: number } | undefined;
  #withheld = false;

  /** `config`: the device's configuration space, as far as it is known. */
  constructor(allowDma: boolean, masks: Masks, config: () => ConfigSpace | undefined) {
    this.#allowDma = allowDma;
    this.#masks = masks;
    this.#config = config;
  }

  /** A recorded mapping is not there: the device would find nothing, or somebody else's memory, at its addresses. */
  mapFailed(what: string): void {
    this.#missing ??= what;
  }

  /** Messages are writes of the device to memory: without bus mastering there are none (PCI 3.0 §6.8.3.1). */
  get mayInterrupt(): boolean {
    return !this.#withheld;
  }

  /** A write to a region: bytes may be changed. Says what is held back; `whole` when nothing is left to write. */
  write(
    region: number,
    offset: number,
    bytes: Uint8Array,
  ): { readonly reason: string; readonly whole: boolean } | undefined {
    if (region !== CONFIG_REGION)
      return this.isTable(region, offset, bytes.length) ? { reason: TABLE_REASON, whole: true } : undefined;
    const at = COMMAND - offset;
    const held = bytes[at];
    if (held === undefined || (held & COMMAND_MASTER) === 0) return undefined;
    if (this.#allowDma && this.#missing === undefined) {
      this.#withheld = false;
      return undefined;
    }
    bytes[at] = held & ~COMMAND_MASTER;
    if (!this.#withheld) this.#masks.add(CONFIG_REGION, COMMAND, BigInt(COMMAND_MASTER));
    this.#withheld = true;
    const reason = this.#allowDma
      ? `bus mastering, since ${this.#missing}`
      : 'bus mastering, which --allow-dma allows';
    return { reason, whole: false };
  }

  /** Whether some of these bytes are the MSI-X table's. */
  isTable(region: number, offset: number, width: number): boolean {
    const table = this.#located();
    return (
      table !== undefined && region === table.region && offset < table.end && offset + width > table.start
    );
  }

  #located() {
    const config = this.#config();
    if (config === undefined) return undefined;
    if (config !== this.#space || config.version !== this.#version) {
      this.#space = config;
      this.#version = config.version;
      this.#table = tableRange(msixBlocks(config));
    }
    return this.#table;
  }
}

function tableRange(blocks: readonly RegisterBlock[]) {
  for (const { region, base, arrays = [] } of blocks)
    for (const { stride, count } of arrays)
      if (stride === TABLE_ENTRY_BYTES) return { region, start: base, end: base + stride * count };
  return undefined;
}
