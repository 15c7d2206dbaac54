// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32 } from '../../../abi/layout.js';
import { DEVICE_FEATURE, FEATURE_OPERATIONS, FEATURES } from '../../../abi/vfio/feature.js';
import { GROUP_STATUS, SET_CONTAINER } from '../../../abi/vfio/group.js';
import { HOT_RESET, HOT_RESET_INFO } from '../../../abi/vfio/hot-reset.js';
import { IRQ_INDEXES, IRQ_SET, IRQ_SET_FLAGS } from '../../../abi/vfio/irqs.js';
import { EDU_PCI, Edu } from '../../devices/edu/edu.js';
import { Generic } from '../../devices/generic/generic.js';
import { Nvme } from '../../devices/nvme/nvme.js';
import { MemoryStorage } from '../../devices/nvme/storage.js';
import { express, msix, pm, vendor, vitalProductData } from '../../devices/pci/capabilities.js';
import type { PciDescription } from '../../devices/pci/description.js';
import { SimulatedKernel } from '../kernel.js';
import { answer, LocalDriver, littleEndian, number } from '../local-driver.js';
import { LocalProcess } from '../local-process.js';
import type { DeviceSlot } from '../topology.js';
import { parseVariant } from '../variant.js';

const CONFIG = 7n << 40n;
const { DATA_NONE, DATA_EVENTFD, ACTION_UNMASK, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
const { INTX, MSI, MSIX } = IRQ_INDEXES.values;

function machine(devices: readonly DeviceSlot[], variant = '') {
  const kernel = new SimulatedKernel({ variant: parseVariant(variant), devices, schedule: () => {} });
  const process = new LocalProcess({ capabilities: ['IPC_LOCK', 'SYS_RAWIO'] });
  const driver = new LocalDriver(kernel, process);
  return { kernel, process, driver };
}

function openGroup(driver: LocalDriver, index = 0) {
  const device = driver.kernel.devices[index];
  assert.ok(device);
  const container = driver.open('/dev/vfio/vfio');
  const group = driver.open(`/dev/vfio/${device.groupId}`);
  assert.equal(driver.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', SET_CONTAINER, { fd: container }).result, 0);
  const iommu = driver.ioctlValue(container, 'VFIO_SET_IOMMU', 3);
  const fd = getDevice(driver, group, device.name);
  return { container, group, iommu, fd };
}

function getDevice(driver: LocalDriver, group: number, name: string): number {
  return driver.ioctlBytes(group, 'VFIO_GROUP_GET_DEVICE_FD', new TextEncoder().encode(`${name}\0`));
}

function setIrqs(
  driver: LocalDriver,
  fd: number,
  index: number,
  flags: number,
  fds: readonly number[],
  start = 0,
): string {
  const tail = Uint8Array.from(fds.flatMap((one) => [...littleEndian(one, 4)]));
  const count = (flags & DATA_EVENTFD) !== 0 ? fds.length : 0;
  return answer(
    driver.ioctl(fd, 'VFIO_DEVICE_SET_IRQS', IRQ_SET, { flags, index, start, count }, { tail }).result,
  );
}

const config = (driver: LocalDriver, fd: number) => ({
  read: (at: number, width: number) => number(driver.pread(fd, CONFIG + BigInt(at), width).bytes),
  write: (at: number, width: number, value: number) =>
    driver.pwrite(fd, CONFIG + BigInt(at), littleEndian(value, width)),
});

const generic = (pci: Partial<PciDescription>, vpd?: Uint8Array): DeviceSlot => ({
  device: new Generic({ pci: { ...EDU_PCI, capabilities: [], ...pci } }),
  ...(vpd === undefined ? {} : { vpd }),
});

test('without interrupt remapping an IOMMU is not given, unless it is asked for', () => {
  const refused = machine([{ device: new Edu() }], 'iommu=virtio');
  assert.equal(answer(openGroup(refused.driver).iommu), 'EPERM');
  const allowed = machine([{ device: new Edu() }], 'iommu=virtio,unsafe-interrupts=on');
  assert.equal(openGroup(allowed.driver).iommu, 0);
});

test('a group with a device of the host is not viable', () => {
  const { driver } = machine([
    { device: new Edu(), group: 5 },
    { device: new Edu(), group: 5, bound: false },
  ]);
  const group = driver.open('/dev/vfio/5');
  assert.equal(driver.ioctl(group, 'VFIO_GROUP_GET_STATUS', GROUP_STATUS, {}).values.flags, 0);
  const container = driver.open('/dev/vfio/vfio');
  const set = driver.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', SET_CONTAINER, { fd: container });
  assert.equal(answer(set.result), 'EPERM');
});

test('everything that is open keeps what it needs open', () => {
  const { driver, kernel } = machine([{ device: new Edu() }]);
  const { container, group, fd } = openGroup(driver);
  assert.equal(answer(driver.ioctlValue(group, 'VFIO_GROUP_UNSET_CONTAINER')), 'EBUSY');
  const mapping = driver.mmap(fd, { offset: 0n, length: 4096n, shared: true });
  assert.ok(typeof mapping === 'object');
  driver.close(container);
  driver.close(group);
  driver.close(fd);
  assert.equal(mapping.load(0, 4), 0x0100_00edn, 'the mapping holds the device');
  assert.equal(answer(driver.open('/dev/vfio/1')), 'EBUSY', 'and the device its group');
  mapping.unmap();
  assert.equal(kernel.devices[0]?.isOpen, false);
  assert.ok(driver.open('/dev/vfio/1') >= 0);
});

test('a virtual function reads as itself although its silicon does not', () => {
  const { driver } = machine([
    generic({
      vendor: 0x8086,
      device: 0x10ca,
      virtualFunction: true,
      configSize: 4096,
      capabilities: [
        msix({ offset: 0x70, vectors: 3, table: { bar: 0, offset: 0 }, pba: { bar: 0, offset: 0x800 } }),
        express({ offset: 0xa0, flr: true }),
      ],
    }),
  ]);
  const { fd } = openGroup(driver);
  const { read, write } = config(driver, fd);
  assert.equal(read(0, 2), 0x8086);
  assert.equal(read(2, 2), 0x10ca);
  assert.equal(read(0x3d, 1), 0, 'no pin');
  assert.equal(read(4, 2) & 2, 2, 'memory is on');
  write(4, 2, 0);
  assert.equal(read(4, 2) & 2, 0);
  const mapping = driver.mmap(fd, { offset: 0n, length: 4096n, shared: true });
  assert.ok(typeof mapping === 'object');
  assert.notEqual(mapping.load(0x900, 4), undefined, 'and its memory answers all the same');
  assert.equal(
    setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_TRIGGER, [driver.process.eventfd().fd]),
    'EINVAL',
  );
});

test('capabilities that are hidden leave the chain, gaps and vendor capabilities reach the hardware', () => {
  const hotswap = { id: 0x06, offset: 0x50, bytes: new Uint8Array(4) };
  const { driver, kernel } = machine([
    generic({
      capabilities: [
        pm({ offset: 0x40, noSoftReset: true, capabilities: 0xc803 }),
        hotswap,
        vendor(0x60, new Uint8Array(8)),
      ],
      gaps: [[0x80, 0x12]],
    }),
  ]);
  const { fd } = openGroup(driver);
  const { read, write } = config(driver, fd);
  assert.equal(read(0x41, 1), 0x60, 'hot swap is skipped');
  assert.equal(read(0x42, 2), 0x0003, 'PME is hidden');
  assert.equal(read(0x80, 1), 0x12);
  write(0x80, 1, 0x34);
  write(0x64, 4, 0xcafe);
  const physical = kernel.devices[0]?.core.pci;
  assert.equal(physical?.read(0x80, 1), 0x34);
  assert.equal(physical?.read(0x64, 4), 0xcafe);
  write(0x42, 2, 0xffff);
  assert.equal(read(0x42, 2), 0x0003, 'what is read only stays');
});

test('vital product data are read and written through the kernel', () => {
  const vpd = new Uint8Array(16).map((_, i) => i);
  const { driver } = machine([generic({ capabilities: [vitalProductData(0x40)] }, vpd)]);
  const { fd } = openGroup(driver);
  const { read, write } = config(driver, fd);
  write(0x42, 2, 4);
  assert.equal(read(0x42, 2), 0x8004, 'done');
  assert.equal(read(0x44, 4), 0x0706_0504);
  write(0x44, 4, 0xdead_beef);
  write(0x42, 2, 0x8008);
  assert.equal(read(0x42, 2), 0x0008);
  write(0x42, 2, 8);
  assert.equal(read(0x44, 4), 0xdead_beef);
  write(0x42, 2, 0x40);
  assert.equal(read(0x42, 2), 0x0040, 'nothing there: never done');
});

test('FLR through config space resets the device and reads back as zero', () => {
  const { driver } = machine([{ device: new Nvme({ storage: new MemoryStorage(1 << 20) }) }]);
  const { fd } = openGroup(driver);
  const { read, write } = config(driver, fd);
  driver.pwrite(fd, 0x24n, littleEndian(0x0007_0007, 4));
  assert.equal(number(driver.pread(fd, 0x24n, 4).bytes), 0x0007_0007);
  write(4, 2, 0x0006);
  write(0x88, 2, read(0x88, 2) | 0x8000);
  assert.equal(read(0x88, 2) & 0x8000, 0);
  assert.equal(number(driver.pread(fd, 0x24n, 4).bytes), 0, 'registers are gone');
  assert.equal(read(4, 2) & 6, 6, 'config space is kept');
});

test('the read request size is not set below the payload, and the payload is only shown', () => {
  const { driver, kernel } = machine([{ device: new Nvme({ storage: new MemoryStorage(1 << 20) }) }]);
  const { fd } = openGroup(driver);
  const { read, write } = config(driver, fd);
  write(0x88, 2, (read(0x88, 2) & ~0x70e0) | 0x5040);
  assert.equal(read(0x88, 2) & 0x70e0, 0x5040);
  const physical = (kernel.devices[0]?.core.pci.read(0x88, 2) ?? 0) & 0x70e0;
  assert.equal(physical, 0x5000, 'hardware keeps its payload size');
});

test('vectors are given all or none, and messages go to the eventfd of their vector', () => {
  const { driver, process, kernel } = machine([
    { device: new Nvme({ storage: new MemoryStorage(1 << 20) }) },
  ]);
  const { fd } = openGroup(driver);
  const first = process.eventfd();
  const second = process.eventfd();
  const flags = DATA_EVENTFD | ACTION_TRIGGER;
  assert.equal(setIrqs(driver, fd, MSIX, flags, [first.fd, 999]), 'EBADF');
  const { read } = config(driver, fd);
  assert.equal(read(0x42, 2) & 0x8000, 0, 'the first failure disables MSI-X again');
  assert.equal(setIrqs(driver, fd, MSIX, flags, [first.fd, second.fd]), '0');
  config(driver, fd).write(4, 2, 0x0006);
  const host = kernel.devices[0]?.core.pci.fn;
  host?.message(1);
  assert.deepEqual([first.eventfd.read(), second.eventfd.read()], [0n, 1n]);
  host?.message(7);
  assert.equal(kernel.faults.count, 0, 'a vector without an eventfd is masked in the table');
  assert.equal(setIrqs(driver, fd, MSIX, DATA_NONE | ACTION_TRIGGER, []), '0');
});

test('a driver that overwrites the MSI-X table loses its interrupts to the IOMMU', () => {
  const { driver, process, kernel } = machine([
    { device: new Nvme({ storage: new MemoryStorage(1 << 20) }) },
  ]);
  const { fd } = openGroup(driver);
  const { fd: eventfd, eventfd: counter } = process.eventfd();
  setIrqs(driver, fd, MSIX, DATA_EVENTFD | ACTION_TRIGGER, [eventfd]);
  config(driver, fd).write(4, 2, 0x0006);
  const mapping = driver.mmap(fd, { offset: 0x2000n, length: 4096n, shared: true });
  assert.ok(typeof mapping === 'object');
  mapping.store(0, 4, 0xfee0_1000n);
  kernel.devices[0]?.core.pci.fn.message(0);
  assert.equal(counter.read(), 0n);
  assert.deepEqual(
    kernel.faults.first.map(({ reason }) => reason),
    ['stray interrupt'],
  );
});

test('an eventfd unmasks INTx', () => {
  const { driver, process } = machine([{ device: new Edu() }]);
  const { fd } = openGroup(driver);
  const trigger = process.eventfd();
  const unmask = process.eventfd();
  setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_TRIGGER, [trigger.fd]);
  assert.equal(setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_UNMASK, [unmask.fd]), '0');
  assert.equal(setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_UNMASK, [unmask.fd]), 'EBUSY');
  driver.pwrite(fd, 0x60n, littleEndian(1, 4));
  assert.equal(trigger.eventfd.read(), 1n);
  unmask.eventfd.write();
  assert.equal(trigger.eventfd.read(), 1n, 'still asserted');
  driver.pwrite(fd, 0x64n, littleEndian(1, 4));
  unmask.eventfd.write();
  assert.equal(trigger.eventfd.read(), 0n);
  driver.pwrite(fd, 0x60n, littleEndian(2, 4));
  assert.equal(trigger.eventfd.read(), 1n);
});

test('a device without DisINTx is masked at the interrupt line', () => {
  const { driver, process, kernel } = machine([{ device: new Edu({ intxMasking: false }) }]);
  const { fd } = openGroup(driver);
  const { fd: eventfd, eventfd: counter } = process.eventfd();
  setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_TRIGGER, [eventfd]);
  driver.pwrite(fd, 0x60n, littleEndian(1, 4));
  assert.equal(counter.read(), 1n);
  assert.equal((kernel.devices[0]?.core.pci.command ?? 0) & 0x400, 0);
  const tail = new Uint8Array();
  driver.ioctl(
    fd,
    'VFIO_DEVICE_SET_IRQS',
    IRQ_SET,
    { flags: DATA_NONE | ACTION_UNMASK, index: INTX, count: 1 },
    { tail },
  );
  assert.equal(counter.read(), 1n, 'still asserted, it comes again');
});

test('DisINTx in the driver’s view holds INTx back', () => {
  const { driver, process } = machine([{ device: new Edu() }]);
  const { fd } = openGroup(driver);
  const { fd: eventfd, eventfd: counter } = process.eventfd();
  setIrqs(driver, fd, INTX, DATA_EVENTFD | ACTION_TRIGGER, [eventfd]);
  const { read, write } = config(driver, fd);
  write(4, 2, read(4, 2) | 0x400);
  driver.pwrite(fd, 0x60n, littleEndian(1, 4));
  assert.equal(counter.read(), 0n);
  write(4, 2, read(4, 2) & ~0x400);
  assert.equal(counter.read(), 1n);
});

test('a device that resets itself gets its BARs back when memory is enabled again', () => {
  const { driver, kernel } = machine([
    {
      device: new Generic({
        pci: { ...EDU_PCI, capabilities: [] },
        triggers: [{ bar: 0, offset: 0x10, action: { do: 'forget' } }],
      }),
    },
  ]);
  const { fd } = openGroup(driver);
  const physical = kernel.devices[0]?.core.pci;
  const bar = physical?.read(0x10, 4);
  driver.pwrite(fd, 0x10n, littleEndian(1, 4));
  assert.equal(physical?.read(0x10, 4), 0);
  config(driver, fd).write(4, 2, 0x0102);
  assert.equal(physical?.read(0x10, 4), bar);
});

test('in low power mode loads are SIGBUS until something wakes the device', () => {
  const { driver, process } = machine([{ device: new Edu() }]);
  const { fd } = openGroup(driver);
  const mapping = driver.mmap(fd, { offset: 0n, length: 4096n, shared: true });
  assert.ok(typeof mapping === 'object');
  const { LOW_POWER_ENTRY, LOW_POWER_ENTRY_WITH_WAKEUP, LOW_POWER_EXIT } = FEATURES.values;
  const feature = (id: number, tail = new Uint8Array()) =>
    answer(
      driver.ioctl(
        fd,
        'VFIO_DEVICE_FEATURE',
        DEVICE_FEATURE,
        { flags: FEATURE_OPERATIONS.bits.SET | id },
        { tail },
      ).result,
    );
  assert.equal(feature(LOW_POWER_ENTRY), '0');
  assert.equal(mapping.load(0, 4), undefined);
  assert.equal(driver.pread(fd, 0n, 4).result, 4, 'a read wakes it for as long as it takes');
  assert.equal(mapping.load(0, 4), undefined);
  assert.equal(feature(LOW_POWER_ENTRY), 'EINVAL', 'it is in low power mode');
  assert.equal(feature(LOW_POWER_EXIT), '0');
  assert.equal(mapping.load(0, 4), 0x0100_00edn);
  const { fd: eventfd, eventfd: counter } = process.eventfd();
  assert.equal(feature(LOW_POWER_ENTRY_WITH_WAKEUP), 'EINVAL', 'without its data');
  assert.equal(
    feature(LOW_POWER_ENTRY_WITH_WAKEUP, Uint8Array.from([...littleEndian(eventfd, 4), 0, 0, 0, 0])),
    '0',
  );
  assert.equal(mapping.load(0, 4), undefined);
  driver.pread(fd, 0n, 4);
  assert.equal(counter.read(), 1n);
  assert.equal(mapping.load(0, 4), 0x0100_00edn, 'waking ended it');
});

test('devices behind a port are reset together by whoever has all their groups', () => {
  const { driver, kernel } = machine([
    { device: new Edu(), bdf: '0000:01:00.0', group: 1 },
    { device: new Edu(), bdf: '0000:01:00.1', group: 2 },
  ]);
  const first = openGroup(driver, 0);
  const info = driver.ioctl(first.fd, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', HOT_RESET_INFO, {});
  assert.equal(answer(info.result), 'ENOSPC');
  assert.equal(info.values.count, 2);
  const tail = new Uint8Array(16);
  const full = driver.ioctl(first.fd, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', HOT_RESET_INFO, {}, { tail });
  assert.equal(full.result, 0);
  assert.deepEqual([readU32(full.bytes, 12), readU32(full.bytes, 20)], [1, 2]);
  const reset = (groups: readonly number[]) => {
    const fds = Uint8Array.from(groups.flatMap((one) => [...littleEndian(one, 4)]));
    const values = { count: groups.length };
    return answer(
      driver.ioctl(first.fd, 'VFIO_DEVICE_PCI_HOT_RESET', HOT_RESET, values, { tail: fds }).result,
    );
  };
  assert.equal(reset([first.group]), 'EINVAL', 'one of two');
  assert.equal(reset([]), 'EINVAL');
  assert.equal(reset([999]), 'EBADF');
  const second = driver.open('/dev/vfio/2');
  driver.pwrite(first.fd, 0x04n, littleEndian(0, 4));
  assert.equal(reset([first.group, second]), '0');
  assert.equal(number(driver.pread(first.fd, 0x04n, 4).bytes), 0, 'the device was reset');
  assert.equal(kernel.devices[0]?.core.resetWorks, false, 'two functions on the bus: no reset of one');
});

test('ids of an empty group and of no device', () => {
  const { driver } = machine([{ device: new Edu() }]);
  const { group } = openGroup(driver);
  assert.equal(answer(getDevice(driver, group, '0000:00:04.0 vf_token=x')), 'EINVAL');
  assert.equal(answer(getDevice(driver, group, '0000:00:04.01')), 'ENODEV');
  assert.equal(answer(driver.ioctlValue(group, 'VFIO_GROUP_GET_DEVICE_FD', 0)), 'EFAULT');
  assert.equal(answer(driver.open('/dev/vfio/77')), 'ENOENT');
});

test('several MSI vectors need interrupt remapping', () => {
  const pci = {
    capabilities: [
      { ...EDU_PCI.capabilities[0], bytes: EDU_PCI.capabilities[0]?.bytes.slice() ?? new Uint8Array() },
    ],
  };
  // Four vectors: multiple message capable = 2.
  const capability = pci.capabilities[0] as { bytes: Uint8Array };
  capability.bytes[2] = 0x84;
  const slot = (): DeviceSlot => generic(pci as Partial<PciDescription>);
  const remapped = machine([slot()]);
  const fds = (process: LocalProcess) => Array.from({ length: 4 }, () => process.eventfd().fd);
  const flags = DATA_EVENTFD | ACTION_TRIGGER;
  assert.equal(
    setIrqs(remapped.driver, openGroup(remapped.driver).fd, MSI, flags, fds(remapped.process)),
    '0',
  );
  const plain = machine([slot()], 'iommu=virtio,unsafe-interrupts=on');
  assert.equal(
    setIrqs(plain.driver, openGroup(plain.driver).fd, MSI, flags, fds(plain.process)),
    '1',
    'one is left',
  );
});
