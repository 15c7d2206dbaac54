// SPDX-License-Identifier: Apache-2.0
/** Whose trace the bench generates: one process with four threads, a network card and an NVMe drive. */
import { type Definitions, type DeviceDefinition, ObjectKind } from '../../traces/model.js';
import type { NewHeader, NewSummary } from '../../traces/writer.js';

const TICKS_PER_SECOND = 3e9;
const SITES = 160;

export const CONTAINER = { object: 1, fd: 50 };
export const GROUP = { object: 2, fd: 51 };
export const NIC = { object: 3, fd: 52 };
export const NVME = { object: 4, fd: 53 };
export const EVENTFD = { object: 6, fd: 57 };

/** As vfio-pci shows the 82574's: bus mastering is on; power management, MSI, PCI Express and MSI-X. */
export const NIC_CONFIG = configSpace(0x8086, 0x10d3, 0x020000, [
  [0xc8, [0x01, 0xd0, 0x22, 0xc8, 0x00, 0x20]],
  [0xd0, [0x05, 0xe0, 0x80, 0x00]],
  [0xe0, [0x10, 0xa0, 0x01, 0x00, 0xc1, 0x8c, 0x00, 0x00]],
  [0xa0, [0x11, 0x00, 0x04, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00]],
]);

const NVME_CONFIG = configSpace(0x1b36, 0x0010, 0x010802, [
  [0x40, [0x11, 0x80, 0x40, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00]],
  [0x80, [0x10, 0x00, 0x02, 0x00, 0xc0, 0x8f, 0x00, 0x10]],
]);

function configSpace(
  vendor: number,
  device: number,
  classCode: number,
  capabilities: readonly (readonly [at: number, bytes: readonly number[]])[],
): Buffer {
  const bytes = Buffer.alloc(256);
  bytes.writeUInt16LE(vendor, 0);
  bytes.writeUInt16LE(device, 2);
  bytes.writeUInt16LE(0x0406, 4);
  bytes.writeUInt16LE(0x0010, 6);
  bytes.writeUIntLE(classCode, 9, 3);
  bytes[0x34] = capabilities[0]?.[0] ?? 0;
  for (const [at, data] of capabilities) bytes.set(data, at);
  return bytes;
}

function deviceDefinition(id: number, bdf: string, config: Buffer): DeviceDefinition {
  return {
    id,
    bdf,
    vendor: config.readUInt16LE(0),
    device: config.readUInt16LE(2),
    classCode: config.readUIntLE(9, 3),
    subsystemVendor: 0,
    subsystemDevice: 0,
    revision: 0,
    driver: 'vfio-pci',
    iommuGroup: '12',
    resources: [],
    config,
    resetMethod: 'flr',
    numaNode: 0,
  };
}

export const GENERATED_HEADER: NewHeader = {
  recorder: 'vfiotape bench',
  host: { kernel: '', machine: 'x86_64', cpu: '', cpus: 4, hostname: '', os: '', kernelCommandLine: '' },
  command: ['generated'],
  modes: {
    dialect: 'modern',
    mmio: 'patch',
    whenFull: 'block',
    dma: 'off',
    backend: 'kernel',
    ringBytes: 0,
    maxSize: 0,
    atLimit: 'stop',
    durationNs: 0,
    watch: [],
  },
  clock: {
    source: 'tsc',
    ticksPerSecond: TICKS_PER_SECOND,
    baseTicks: 1n << 40n,
    baseMonotonicNs: 1_000_000_000n,
    baseRealtimeNs: 1_700_000_000_000_000_000n,
    pairs: [],
  },
};

export const GENERATED_SUMMARY: NewSummary = {
  clock: GENERATED_HEADER.clock,
  losses: [],
  endings: [{ process: 1, exitStatus: 0, signal: 0 }],
  complete: true,
  stoppedBy: 'driver-exit',
  waits: 0,
  waitedNs: 0,
  lateEvents: 0,
  dmaComparisons: [],
};

export function generatedDefinitions(): Definitions {
  const object = { path: '', parent: 0, process: 1, seenBorn: true, device: 0 };
  return {
    processes: [{ id: 1, pid: 4242, parentPid: 4241, exe: '/usr/bin/driver', argv: ['driver'] }],
    threads: [1, 2, 3, 4].map((id) => ({ id, process: 1, tid: 4241 + id, name: `thread${id}` })),
    objects: [
      { ...object, id: CONTAINER.object, kind: ObjectKind.CONTAINER, path: '/dev/vfio/vfio' },
      { ...object, id: GROUP.object, kind: ObjectKind.GROUP, path: '/dev/vfio/12' },
      { ...object, id: NIC.object, kind: ObjectKind.DEVICE, path: '0000:00:03.0', parent: 2, device: 1 },
      { ...object, id: NVME.object, kind: ObjectKind.DEVICE, path: '0000:00:04.0', parent: 2, device: 2 },
      { ...object, id: EVENTFD.object, kind: ObjectKind.EVENTFD },
    ],
    modules: [
      {
        id: 1,
        process: 1,
        start: 0x5555_5555_4000n,
        end: 0x5555_5575_4000n,
        fileOffset: 0x1000n,
        path: '/usr/bin/driver',
        buildId: Uint8Array.from({ length: 20 }, (_, n) => n),
      },
    ],
    sites: Array.from({ length: SITES }, (_, n) => ({
      id: n + 1,
      process: 1,
      address: 0x5555_5555_5000n + BigInt(n * 64),
      module: 1,
      moduleOffset: BigInt(0x2000 + n * 64),
    })),
    devices: [
      deviceDefinition(1, '0000:00:03.0', NIC_CONFIG),
      deviceDefinition(2, '0000:00:04.0', NVME_CONFIG),
    ],
    mmioSites: [],
  };
}
