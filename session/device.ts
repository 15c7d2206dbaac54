// SPDX-License-Identifier: Apache-2.0

import { lyonRegionIndex, lyonRegisterOffset } from '../abi/lyon2010/regions.js';
import { LYON_DEVICE } from '../abi/object-kinds.js';
import { ConfigSpace } from '../abi/pci/config-space.js';
import type { RegisterLookup } from '../abi/register-access.js';
import { DeviceRegisters } from '../abi/registers/choose.js';
import { CONFIG_REGION, defaultRegionIndex } from '../abi/vfio/regions.js';
import type { DeviceDefinition } from '../traces/model.js';

/** What VFIO_DEVICE_GET_REGION_INFO answered. */
export interface Region {
  readonly index: number;
  readonly flags: number;
  readonly size: bigint;
  readonly offset: bigint;
}

export interface RegionPlace {
  readonly index: number;
  /** Within the region. */
  readonly offset: bigint;
}

const OFFSET_MASK = (1n << 40n) - 1n;

/** One open device, as far as the trace told of it. */
export class DeviceState {
  /** Of the device's object. */
  readonly id: number;
  readonly kind: number;
  readonly config: ConfigSpace;
  readonly registers: DeviceRegisters;
  readonly regions = new Map<number, Region>();
  /** The kernel has the interface as it was posted in June 2010 (V2): it answered a call that later versions lack. */
  isJune2010 = false;
  #latest: Region | undefined;

  constructor(id: number, kind: number, definition: DeviceDefinition | undefined) {
    this.id = id;
    this.kind = kind;
    this.config = new ConfigSpace(definition?.config);
    const { vendor = 0, device = 0, classCode = 0 } = definition ?? {};
    this.registers = new DeviceRegisters({ vendor, device, classCode }, this.config);
  }

  /** The registers of any region, configuration space included. */
  lookup(region: number): RegisterLookup {
    return region === CONFIG_REGION ? this.config.lookup : this.registers.lookup(region);
  }

  /** Changes when `lookup` may find another register at an offset. */
  get layout(): number {
    return this.config.layout + this.registers.layout;
  }

  setRegion(region: Region): void {
    this.regions.set(region.index, region);
    this.#latest = undefined;
  }

  /** Where an offset of the device's descriptor leads; undefined when it leads nowhere that is known. */
  locate(offset: bigint): RegionPlace | undefined {
    if (this.kind === LYON_DEVICE) {
      const index = lyonRegionIndex(offset);
      return index === undefined ? undefined : { index, offset: lyonRegisterOffset(offset) };
    }
    const latest = this.#latest;
    if (latest !== undefined && offset >= latest.offset && offset < latest.offset + latest.size) {
      return { index: latest.index, offset: offset - latest.offset };
    }
    for (const region of this.regions.values()) {
      if (offset >= region.offset && offset < region.offset + region.size) {
        this.#latest = region;
        return { index: region.index, offset: offset - region.offset };
      }
    }
    // The driver may know by heart where vfio-pci puts the regions; past the end of one is still that region.
    const index = defaultRegionIndex(offset);
    const recorded = this.regions.get(index);
    if (recorded !== undefined && recorded.offset !== BigInt(index) << 40n) return undefined;
    return index < 256 ? { index, offset: offset & OFFSET_MASK } : undefined;
  }
}
