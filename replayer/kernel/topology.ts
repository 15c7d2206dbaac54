// SPDX-License-Identifier: Apache-2.0
/** Where devices sit in the simulated machine: addresses, buses, resources, groups. */
import { UserError } from '../../abi/user-error.js';
import type { Device } from '../devices/device.js';
import type { PciDescription } from '../devices/pci/description.js';
import type { Plans } from './administrable.js';
import type { PciAddress, Resource } from './pci/pci-device.js';

export interface DeviceSlot {
  readonly device: Device;
  /** 0000:00:04.0, the next at 05.0, …, when absent. A bus other than 0 is behind a root port. */
  readonly bdf?: string;
  /** Devices of one number are in one IOMMU group; each has its own when absent. */
  readonly group?: number;
  /** False: the device belongs to a driver of the host, and makes its group useless. */
  readonly bound?: boolean;
  /** Vital Product Data, behind a VPD capability. */
  readonly vpd?: Uint8Array;
  /** What will be done to it. */
  readonly plans?: Plans;
}

const BDF = /^([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/;
const FIRST_SLOT = 4;

export function parseBdf(text: string): PciAddress {
  const found = BDF.exec(text);
  if (found === null) throw new UserError(`'${text}' is no PCI address like 0000:00:04.0`);
  const [segment, bus, device, fn] = found.slice(1).map((part) => Number.parseInt(part, 16)) as [
    number,
    number,
    number,
    number,
  ];
  if (device > 31) throw new UserError(`'${text}': a bus has 32 devices, 00 to 1f`);
  return { segment, bus, device, function: fn };
}

/** The slots with every address and group filled in. */
export function placeDevices(
  slots: readonly DeviceSlot[],
): readonly Required<Omit<DeviceSlot, 'vpd' | 'plans'>>[] {
  const taken = new Set(slots.flatMap(({ bdf }) => bdf ?? []));
  if (taken.size < slots.filter(({ bdf }) => bdf !== undefined).length)
    throw new UserError('two simulated devices have the same PCI address');
  const groups = new Set(slots.flatMap(({ group }) => group ?? []));
  let nextSlot = FIRST_SLOT;
  let nextGroup = 1;
  const freeBdf = (): string => {
    for (; nextSlot < 32; nextSlot++) {
      const bdf = `0000:00:${nextSlot.toString(16).padStart(2, '0')}.0`;
      if (taken.has(bdf)) continue;
      taken.add(bdf);
      return bdf;
    }
    throw new UserError('there is no room for more simulated devices on bus 0');
  };
  const freeGroup = (): number => {
    while (groups.has(nextGroup)) nextGroup++;
    groups.add(nextGroup);
    return nextGroup;
  };
  return slots.map(({ device, bdf, group, bound }) => ({
    device,
    bdf: bdf ?? freeBdf(),
    group: group ?? freeGroup(),
    bound: bound ?? true,
  }));
}

/** Gives BARs addresses as firmware would: each aligned to its size, wide ones above 4 GiB. */
export class ResourceAllocator {
  #low = 0xc000_0000n;
  #high = 0x38_0000_0000n;
  #io = 0xc000n;

  place(pci: PciDescription): readonly (Resource | undefined)[] {
    const bars = pci.bars.slice(0, 6).map((bar): Resource | undefined => {
      if (bar === undefined) return undefined;
      const io = bar.kind === 'io';
      const wide = bar.kind === 'memory64';
      const start = bar.address ?? this.#next(BigInt(bar.size), bar.kind);
      return { start, size: bar.size, io, wide, prefetchable: bar.prefetchable ?? false };
    });
    while (bars.length < 6) bars.push(undefined);
    if (pci.rom === undefined) return bars;
    const start = pci.rom.address ?? this.#next(BigInt(pci.rom.size), 'memory32');
    return [...bars, { start, size: pci.rom.size, io: false, wide: false, prefetchable: false }];
  }

  #next(size: bigint, kind: 'memory32' | 'memory64' | 'io'): bigint {
    const align = (address: bigint, unit: bigint) => ((address + unit - 1n) / unit) * unit;
    switch (kind) {
      case 'memory64': {
        const start = align(this.#high, size);
        this.#high = start + size;
        return start;
      }
      case 'memory32': {
        const unit = size < 4096n ? 4096n : size;
        const start = align(this.#low, unit);
        this.#low = start + unit;
        return start & 0xffff_ffffn;
      }
      case 'io': {
        const start = align(this.#io, size);
        this.#io = start + size;
        return start;
      }
    }
  }
}
