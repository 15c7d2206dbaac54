// SPDX-License-Identifier: Apache-2.0
/**
 * QEMU's devices whose answers a real kernel gave (test/conformance): their config space and the few registers that
 * were looked at, so that the same questions can be asked of the simulated kernel. They are no network cards.
 */
import type { Device } from '../device.js';
import { Edu } from '../edu/edu.js';
import { Generic, type GenericRegister } from '../generic/generic.js';
import { Nvme } from '../nvme/nvme.js';
import { MemoryStorage } from '../nvme/storage.js';
import { express, msi, msix, pm, vendor } from '../pci/capabilities.js';
import type { BarDescription, RomDescription } from '../pci/description.js';

const memory = (size: number, address: number): BarDescription => ({
  size,
  kind: 'memory32',
  address: BigInt(address),
});
const io = (size: number, address: number): BarDescription => ({
  size,
  kind: 'io',
  address: BigInt(address),
});

function rom(size: number, address: number): RomDescription {
  const content = new Uint8Array(size);
  content.set([0x55, 0xaa]);
  return { size, address: BigInt(address), content };
}

const firstRegister = (value: bigint): readonly GenericRegister[] => [{ bar: 0, offset: 0, width: 4, value }];

/** An Intel 82540EM, conventional PCI without capabilities. */
export function e1000(): Device {
  return new Generic({
    pci: {
      vendor: 0x8086,
      device: 0x100e,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      classCode: 0x020000,
      revision: 3,
      interruptPin: 1,
      interruptLine: 0x0b,
      command: 0x0103,
      bars: [memory(0x2_0000, 0xfeb0_0000), io(0x40, 0xc000)],
      rom: rom(0x4_0000, 0xfea0_0000),
      configSize: 256,
      capabilities: [],
    },
    registers: firstRegister(0x4014_0240n),
  });
}

/** An Intel 82574L: PCI Express, MSI and MSI-X, reset by way of D3hot. */
export function e1000e(): Device {
  // The first vector as an earlier driver left it: what resets the function does not reach QEMU's table.
  const msixTable = new Uint8Array(16);
  new DataView(msixTable.buffer).setUint32(0, 0xfee0_0458, true);
  msixTable[12] = 1;
  return new Generic({
    pci: {
      vendor: 0x8086,
      device: 0x10d3,
      subsystemVendor: 0x8086,
      subsystem: 0,
      classCode: 0x020000,
      interruptPin: 1,
      interruptLine: 0x0a,
      command: 0x0103,
      bars: [
        memory(0x2_0000, 0xfea8_0000),
        memory(0x2_0000, 0xfeaa_0000),
        io(0x20, 0xc060),
        memory(0x4000, 0xfeb4_0000),
      ],
      rom: rom(0x4_0000, 0xfea0_0000),
      configSize: 4096,
      capabilities: [
        pm({ offset: 0xc8, noSoftReset: false }),
        msi({ offset: 0xd0, vectors: 1 }),
        express({ offset: 0xe0, type: 'integrated' }),
        msix({ offset: 0xa0, vectors: 5, table: { bar: 3, offset: 0 }, pba: { bar: 3, offset: 0x2000 } }),
      ],
      msixTable,
    },
    registers: firstRegister(0x1814_0241n),
  });
}

/** A modern virtio network device on the root bus. */
export function virtioNet(): Device {
  return new Generic({
    pci: {
      vendor: 0x1af4,
      device: 0x1041,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      classCode: 0x020000,
      revision: 1,
      interruptPin: 1,
      interruptLine: 0x0a,
      command: 0x0103,
      bars: [
        undefined,
        memory(0x1000, 0xfeb4_c000),
        undefined,
        undefined,
        { size: 0x4000, kind: 'memory64', prefetchable: true, address: 0xfe00_0000n },
      ],
      configSize: 256,
      capabilities: [
        msix({ offset: 0x98, vectors: 4, table: { bar: 1, offset: 0 }, pba: { bar: 1, offset: 0x800 } }),
        vendor(0x84, new Uint8Array(17)),
        vendor(0x70, new Uint8Array(17)),
        vendor(0x60, new Uint8Array(13)),
        vendor(0x50, new Uint8Array(13)),
        vendor(0x40, new Uint8Array(13)),
      ],
    },
  });
}

/** edu, where QEMU's firmware put it. */
export function edu(address: number): Device {
  return new Edu({ bars: [memory(0x10_0000, address)] });
}

/** QEMU's NVMe controller; above 4 GiB, where the low half of its BAR is zero but for the type. */
export function nvme(): Device {
  return new Nvme({ storage: new MemoryStorage(64 << 20) });
}
