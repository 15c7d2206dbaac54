// SPDX-License-Identifier: Apache-2.0
/** Which registers a device's regions have: its map, virtio's capabilities, and the MSI-X table of any device. */
import type { ConfigSpace } from '../pci/config-space.js';
import type { RegisterLookup } from '../register-access.js';
import { EDU } from './edu.js';
import { E1000, E1000E, IGB } from './intel-ethernet.js';
import { blockLookup, type DeviceIdentity, matches, type RegisterMap } from './map.js';
import { msixBlocks } from './msix-table.js';
import { NVME } from './nvme.js';
import { isVirtio, virtioBlocks } from './virtio.js';

export const REGISTER_MAPS: readonly RegisterMap[] = [NVME, E1000, E1000E, IGB, EDU];

export function registerMapFor(device: DeviceIdentity): RegisterMap | undefined {
  return REGISTER_MAPS.find(({ match }) => match.some((one) => matches(one, device)));
}

const NOTHING: RegisterLookup = () => undefined;

/** The registers of one device's memory, as far as configuration space and the driver's own reads tell where they are. */
export class DeviceRegisters {
  readonly #identity: DeviceIdentity;
  readonly #config: ConfigSpace;
  readonly #map: RegisterMap | undefined;
  readonly #seen = new Map<string, bigint>();
  #lookups = new Map<number, RegisterLookup>();
  #configVersion = -1;
  #learned = 0;
  #isTold = false;

  constructor(identity: DeviceIdentity, config: ConfigSpace) {
    this.#identity = identity;
    this.#config = config;
    this.#map = registerMapFor(identity);
  }

  /** Which register holds a byte of the region. */
  lookup(region: number): RegisterLookup {
    if (this.#config.version !== this.#configVersion) {
      this.#configVersion = this.#config.version;
      this.#lookups.clear();
    }
    let lookup = this.#lookups.get(region);
    if (lookup === undefined) {
      lookup = this.#build(region);
      this.#lookups.set(region, lookup);
    }
    return lookup;
  }

  /** Whether the layout depends on the register at this offset. */
  isLayout(region: number, offset: number): boolean {
    return this.#layoutMask(region, offset) !== undefined;
  }

  /** Whether a register that the layout depends on is still to be read. */
  get awaitsLayout(): boolean {
    return this.#map?.layoutRegisters !== undefined && !this.#isTold;
  }

  /** The driver read this. */
  learn(region: number, offset: number, width: number, value: bigint): void {
    const mask = this.#layoutMask(region, offset);
    if (mask === undefined) return;
    if (BigInt.asUintN(Math.min(64, 8 * width), mask) !== 0n) this.#isTold = true;
    const key = `${region}:${offset}:${width}`;
    const held = value & mask;
    if ((this.#seen.get(key) ?? 0n) !== held) {
      this.#lookups.clear();
      this.#learned++;
    }
    this.#seen.set(key, held);
  }

  /** Changes when `lookup` may find another register at an offset. */
  get layout(): number {
    return this.#learned + this.#config.version;
  }

  #layoutMask(region: number, offset: number): bigint | undefined {
    const layout = this.#map?.layoutRegisters;
    return layout?.find((place) => place.region === region && place.offset === offset)?.mask;
  }

  #build(region: number): RegisterLookup {
    const { blocks = [] } = this.#map ?? {};
    const mapped =
      typeof blocks === 'function'
        ? blocks((r, offset, width) => this.#seen.get(`${r}:${offset}:${width}`))
        : blocks;
    // The device says where its vectors are; NVMe's doorbells, 65,536 pairs of them by the map, would cover the table.
    const all = [
      ...msixBlocks(this.#config),
      ...mapped,
      ...(isVirtio(this.#identity) ? virtioBlocks(this.#identity, this.#config) : []),
    ].filter((block) => block.region === region);
    return all.length === 0 ? NOTHING : blockLookup(all);
  }
}
