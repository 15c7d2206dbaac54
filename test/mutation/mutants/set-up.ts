// SPDX-License-Identifier: Apache-2.0
/** The same session: what a driver gets wrong about VFIO, configuration space, BARs and mappings. */
import { encode } from '../../../abi/layout.js';
import { IOEVENTFD } from '../../../abi/vfio/device.js';
import { REGION_INFO } from '../../../abi/vfio/region-info.js';
import { IOMMU_INFO } from '../../../abi/vfio/type1.js';
import { nvmeConfig, type Opened, type RecordedSession } from '../../../session/fixtures.js';
import { EventKind, ObjectKind } from '../../../traces/model.js';
import { before, CLEAN, type Context, MIB, replaced, step, without } from '../clean-session.js';
import { anywhere, type Mutant, mutant } from '../mutant.js';

const [EIO, EFAULT, EINVAL, ENOSPC] = [5, 14, 22, 28];
const GIB = 1n << 30n;

/** The device has its MSI-X structures elsewhere. */
const withConfig = (at: number, bytes: readonly number[]) =>
  replaced('device', (c) => {
    const config = nvmeConfig();
    config.set(bytes, at);
    c.device = c.s.getDevice(c.group, { config });
  });

const MSI_X: readonly Mutant[] = [
  mutant('MSI-006', 'the pending bits lie among the doorbells', withConfig(0x78, [0x00, 0x18])),
  mutant(
    'MSI-006',
    'the BAR is no whole number of pages',
    replaced('BAR info', ({ s, device }) => s.regionInfo(device, 0, { size: 0x3800n })),
  ),
  mutant(
    'MSI-007',
    'the table is mapped for writing, and nobody asked whether it may',
    replaced(
      'unmap BAR',
      ({ s, bar }) => s.unmap(bar, 0x4000n),
      replaced('map BAR', (c) => {
        c.bar = c.s.map(c.device, 0, 0x4000n);
      }),
    ),
  ),
  ...anywhere('MSI-008', 'an ioeventfd into the table', ({ s, device, req }) =>
    s.ioctl(device, 'VFIO_DEVICE_IOEVENTFD', {
      before: encode(IOEVENTFD, { argsz: 32, flags: 4, offset: 0x2004n, fd: req.fd }),
      errno: EINVAL,
    }),
  ),
];

/** A child of the driver does this. */
const inChild = ({ s }: Context, what: () => void): void => {
  s.process(2, 200, 100).fork(200).thread(2, 2);
  what();
  s.thread(1);
};

const CALLS: readonly Mutant[] = [
  mutant(
    'LIF-003',
    'the device is asked for before its group has a container',
    before('set container', ({ s, group }) => s.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', { errno: EINVAL })),
  ),
  ...anywhere('LIF-004', 'argsz is too small', ({ s, device }) =>
    s.ioctl(device, 'VFIO_DEVICE_GET_REGION_INFO', {
      before: encode(REGION_INFO, { argsz: 8, index: 0 }),
      errno: EINVAL,
    }),
  ),
  mutant(
    'LIF-004',
    'the capabilities of the BAR are left',
    replaced('BAR info', ({ s, device }) =>
      s.regionInfo(device, 0, { size: 0x4000n, argsz: 32, capabilities: new Uint8Array(16) }),
    ),
  ),
  mutant(
    'LIF-005',
    'a child uses the container',
    before('memory', (c) => inChild(c, () => c.s.ioctl(c.container, 'VFIO_GET_API_VERSION'))),
  ),
  mutant(
    'LIF-005',
    'container and group go through an exec',
    before('set container', ({ s }) => s.event({ kind: EventKind.EXEC })),
  ),
  ...anywhere('LIF-008', 'all ones for seconds', ({ s, device }) => {
    for (const offset of [0x1c, 0x14, 0x08]) s.load(device, 0, offset, 4, 0xffff_ffff);
    s.after(2e9).load(device, 0, 0x1c, 4, 0xffff_ffff);
  }),
  mutant(
    'LIF-009',
    'without an IOMMU',
    replaced(
      'set iommu',
      ({ s, container }) => s.setIommu(container, 8n),
      replaced('extension', ({ s, container }) =>
        s.ioctl(container, 'VFIO_CHECK_EXTENSION', { argument: 8n, result: 1n }),
      ),
    ),
  ),
  mutant(
    'CLN-008',
    'set-up fails and is tried again, with a container more each time',
    before('container', ({ s }) => {
      for (let n = 0; n < 4; n++) {
        const container = s.container();
        s.ioctl(container, 'VFIO_GET_API_VERSION');
        s.ioctl(container, 'VFIO_CHECK_EXTENSION', { argument: 3n, result: 1n });
        s.setIommu(container).mapDma(container, { iova: 0n, size: 0x1000n, errno: 12 });
      }
    }),
  ),
];

/** Opened for writing past VFIO. */
const aroundVfio = (s: RecordedSession): void => {
  s.close(s.open(ObjectKind.SYSFS, '/sys/bus/pci/devices/0000:00:04.0/config'));
};

const CONFIG: readonly Mutant[] = [
  ...anywhere('CFG-003', 'a payload size that the device will not have', ({ s, device }) =>
    s.configRead(device, 0x88, 2, 0x2810).configWrite(device, 0x88, 2, 0x2850),
  ),
  ...anywhere('CFG-004', 'bytes of no capability are written', ({ s, device }) =>
    s.configWrite(device, 0xe0, 4, 1),
  ),
  ...anywhere('CFG-005', 'past the end of configuration space', ({ s, device }) =>
    s.configRead(device, 0x1000, 4, 0, EFAULT),
  ),
  ...anywhere('CFG-007', 'a load with memory decoding off', ({ s, device }) =>
    s
      .configRead(device, 4, 2, 0x0406)
      .configWrite(device, 4, 2, 0x0404)
      .regionRead(device, 0, 0x1c, 4, 0, EIO)
      .configWrite(device, 4, 2, 0x0406),
  ),
  mutant(
    'CFG-009',
    'asleep, and awake again',
    before('stop first', ({ s, device }) =>
      s.configWrite(device, 0x44, 2, 0x000b).after(1e7).configWrite(device, 0x44, 2, 0x0008).after(1e7),
    ),
  ),
  ...anywhere('CFG-010', 'configuration space is opened for writing by sysfs', ({ s }) => aroundVfio(s)),
  mutant(
    'CFG-011',
    'an offset known by heart',
    before('memory', ({ s, device }) => s.configWrite(device, 0x88, 2, 0x2810), without(['walk'])),
  ),
  ...anywhere(
    'RST-005',
    'a function level reset by its bit',
    ({ s, device }) => s.configRead(device, 0x88, 2, 0x2810).configWrite(device, 0x88, 2, 0xa810),
    // It is a reset, and the queues are gone.
    ['RST-003', 'RST-004', 'BAR-012'],
  ),
];

/** A SPARSE_MMAP capability with a hole from 0x1000 on. */
function sparse(): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1, true);
  view.setUint16(2, 1, true);
  view.setUint32(8, 1, true);
  view.setBigUint64(24, 0x1000n, true);
  return bytes;
}

const BARS: readonly Mutant[] = [
  ...anywhere('BAR-002', 'a private mapping is refused, and nobody looks', ({ s, device }) => {
    s.map(device, 0, 0x1000n, { flags: 2, errno: EINVAL });
    s.load(device, 0, 0x1c, 4, 1);
  }),
  mutant(
    'BAR-003',
    'mapped over a hole',
    replaced('BAR info', ({ s, device }) =>
      s.regionInfo(device, 0, { size: 0x4000n, capabilities: sparse() }),
    ),
  ),
  ...anywhere('BAR-008', 'three bytes by the descriptor', ({ s, device }) =>
    s.regionRead(device, 0, 0x10, 3, 0),
  ),
  mutant(
    'BAR-009',
    'a load that never came back',
    [
      ...CLEAN.slice(
        0,
        CLEAN.findIndex(({ name }) => name === 'work 2'),
      ),
      step('fatal', ({ s, device }) => s.fatal(device, 'load', 0, 0x1c, 4).signal(7)),
    ],
    ['CLN-001', 'CLN-006'],
  ),
  mutant(
    'BAR-010',
    'the store that stops the controller is not read back',
    replaced('stop', ({ s, device }) => s.store(device, 0, 0x14, 4, 0x0046_0000)),
  ),
  mutant(
    'BAR-011',
    'an executable mapping',
    replaced('map BAR', (c) => {
      c.bar = c.s.map(c.device, 0, 0x2000n, { protection: 7 });
    }),
  ),
];

/** VFIO_IOMMU_GET_INFO: IOVAs from 0 to 0xfedfffff, and so many mappings left. */
function iommuInfo(s: RecordedSession, container: Opened, available = 65535): RecordedSession {
  const after = new Uint8Array(24 + 32 + 12);
  const view = new DataView(after.buffer);
  after.set(encode(IOMMU_INFO, { argsz: after.length, flags: 3, iova_pgsizes: 0x1000n, cap_offset: 24 }));
  after.set([1, 0, 1, 0, 56, 0, 0, 0, 1], 24);
  view.setBigUint64(48, 0xfedf_ffffn, true);
  after.set([3, 0, 1, 0], 56);
  view.setUint32(64, available, true);
  const request = encode(IOMMU_INFO, { argsz: after.length });
  return s.ioctl(container, 'VFIO_IOMMU_GET_INFO', { before: request, after });
}

const MAPPINGS: readonly Mutant[] = [
  ...anywhere(
    'DMA-007',
    'gigabytes in one call that takes its time',
    ({ s, container }) =>
      s
        .after(4e9)
        .mapDma(container, { iova: GIB, size: 4n * GIB, durationNs: 3e9 })
        .unmapDma(container, { iova: GIB, size: 4n * GIB }),
    ['PERF-012'],
  ),
  ...anywhere('DMA-010', 'outside of the allowed addresses', ({ s, container }) =>
    iommuInfo(s, container).mapDma(container, { iova: 0xfee0_0000n, size: 0x1000n, errno: EINVAL }),
  ),
  ...anywhere(
    'DMA-013',
    'memory that the process may not write, for the device to write',
    ({ s, container }) => s.mapDma(container, { iova: 4n * MIB, size: 0x1000n, errno: EFAULT }),
  ),
  ...anywhere('DMA-014', 'no mapping is left', ({ s, container }) =>
    s.mapDma(container, { iova: 4n * MIB, size: 0x1000n, errno: ENOSPC }),
  ),
  mutant(
    'DMA-014',
    'half of the mappings are in use',
    before('map DMA', ({ s, container }) => {
      iommuInfo(s, container, 8);
      for (let n = 0n; n < 6n; n++) s.mapDma(container, { iova: GIB + n * 2n * MIB, size: MIB });
      for (let n = 0n; n < 6n; n++) s.unmapDma(container, { iova: GIB + n * 2n * MIB, size: MIB });
    }),
  ),
];

export const SET_UP_MUTANTS: readonly Mutant[] = [...MSI_X, ...CALLS, ...CONFIG, ...BARS, ...MAPPINGS];
