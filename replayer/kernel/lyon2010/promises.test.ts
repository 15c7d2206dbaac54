// SPDX-License-Identifier: Apache-2.0
/** Each test bears the sentence of Tom Lyon's mail of June 2010, or of his Documentation/vfio.txt, that it holds the kernel to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LYON_DMA_MAP, LYON_DMA_MASK, LYON_MAP_SIZE_MAX } from '../../../abi/lyon2010/ioctls.js';
import {
  attribute,
  attributeNumber,
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_CMD_GETFAMILY,
  decodeNetlink,
  encodeNetlink,
  GENL_ID_CTRL,
  LYON_ATTRIBUTES,
  LYON_MESSAGES,
  NLM_F_ACK,
  NLM_F_REQUEST,
  rawAttribute,
} from '../../../abi/lyon2010/netlink.js';
import { Generic } from '../../devices/generic/generic.js';
import { msix } from '../../devices/pci/capabilities.js';
import { answer } from '../local-driver.js';
import type { Process } from '../process.js';
import { CARD, COMMAND, DISABLE_INTX, MASTER, Rig, UNRESETTABLE } from './rig.js';

const PAGE = 4096n;
const card = (pci = CARD) => ({ device: new Generic({ pci }) });
/** INTx by a store, away by another. */
const lineCard = () => ({
  device: new Generic({
    pci: CARD,
    triggers: [
      { bar: 0, offset: 0x10, action: { do: 'intx', asserted: true } },
      { bar: 0, offset: 0x14, action: { do: 'intx', asserted: false } },
    ],
  }),
});

test('"it\'ll now fail open if reset fails"', () => {
  const without = new Rig([card(UNRESETTABLE)]);
  assert.equal(answer(without.open()), 'ENOTTY');
  assert.equal(without.device.isOpen, false);
  // Alone behind a root port the bus is reset instead.
  const behindPort = new Rig([{ ...card(UNRESETTABLE), bdf: '0000:01:00.0' }]);
  assert.ok(behindPort.open() >= 0);
});

test('the first open resets, further ones do not, the last close does not', () => {
  const rig = new Rig([card()]);
  rig.host.fn.barWrite(0, 0x100, 4, 7n);
  rig.host.write(COMMAND, 2, 0x0007);
  rig.host.fn.barWrite(0, 0x100, 4, 7n);
  const fd = rig.openWithDomain();
  const read = (at: bigint) => rig.driver.pread(fd, at, 4).bytes[0];
  assert.equal(read(0x100n), 0, 'registers are as after power-on');
  assert.equal(rig.driver.pwrite(fd, 0x100n, new Uint8Array([9, 0, 0, 0])), 4);
  const second = rig.open();
  assert.ok(second >= 0);
  assert.equal(read(0x100n), 9);
  rig.driver.close(second);
  rig.driver.close(fd);
  assert.equal(rig.host.fn.barRead(0, 0x100, 4), 9n, 'the memory is as the driver left it');
  assert.equal(rig.host.command & MASTER, 0);
});

test('before VFIO_DOMAIN_SET config space can be read, and nothing else be done', () => {
  const rig = new Rig([card()]);
  const fd = rig.open();
  assert.equal(rig.config(fd, 0), 0x8086);
  assert.equal(rig.setConfig(fd, COMMAND, 6), 'EINVAL');
  assert.equal(answer(rig.driver.pread(fd, 0n, 4).result), 'EINVAL');
  assert.equal(answer(rig.driver.pwrite(fd, 0n, new Uint8Array(4))), 'EINVAL');
  assert.equal(rig.driver.mmap(fd, { offset: 0n, length: PAGE, shared: true }), -22);
  const { address } = rig.process.map(4096);
  assert.equal(rig.map(fd, address, 0x10_0000n, PAGE), 'EINVAL');
  assert.equal(rig.barLength(fd, 0), 0x4000);
  assert.equal(rig.fdCall(fd, 'VFIO_DOMAIN_SET', rig.open('/dev/uiommu')), '0');
  assert.equal(rig.setConfig(fd, COMMAND, 6), '2');
  assert.equal(rig.map(fd, address, 0x10_0000n, PAGE), '0');
});

test('bus mastering is off until the driver sets it, "when it sees fit"', () => {
  const rig = new Rig([card({ ...CARD, command: 0x0107 })]);
  const fd = rig.openWithDomain();
  assert.equal(rig.config(fd, COMMAND) & MASTER, 0);
  assert.equal(rig.host.command & MASTER, 0);
  // Mapping memory doesn't set it either.
  assert.equal(rig.map(fd, rig.process.map(4096).address, 0x10_0000n, PAGE), '0');
  assert.equal(rig.host.command & MASTER, 0);
  assert.equal(rig.setConfig(fd, COMMAND, rig.config(fd, COMMAND) | MASTER), '2');
  assert.equal(rig.host.command & MASTER, MASTER);
});

test('VFIO_DMA_MASK: "This ioctl is gone now", and so is VFIO_DMA_MAP_ANYWHERE', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const { result } = rig.driver.ioctl(fd, 'VFIO_DMA_MASK', LYON_DMA_MASK, { mask: 0xffff_ffffn });
  assert.equal(answer(result), 'ENOTTY');
  assert.equal(rig.host.command & MASTER, 0, 'and has no side effect any more');
  const given = { vaddr: rig.process.map(4096).address, size: PAGE, flags: 1n };
  assert.equal(answer(rig.driver.ioctl(fd, 'VFIO_DMA_MAP_ANYWHERE', LYON_DMA_MAP, given).result), 'ENOTTY');
  assert.equal(answer(rig.driver.ioctlValue(fd, 0x3b64)), 'EINVAL', 'a number that never meant anything');
});

test('"The PCI vendor and device ID are virtual": an SR-IOV virtual function reads its true ones', () => {
  const rig = new Rig([card({ ...CARD, virtualFunction: true, interruptPin: 0 })]);
  const fd = rig.openWithDomain();
  assert.equal(rig.host.read(0, 4), 0xffff_ffff);
  assert.equal(rig.config(fd, 0, 4), 0x10ca_8086);
  assert.equal(rig.setConfig(fd, 0, 0x1234), '2');
  assert.equal(rig.config(fd, 0, 4), 0x10ca_8086);
  assert.equal(rig.config(fd, COMMAND) & 2, 2, 'its memory is always on');
  assert.equal(rig.setConfig(fd, 0x10, 0xffff_ffff, 4), '4');
  assert.equal(rig.config(fd, 0x10, 4), 0xffff_c000, 'and it can be asked how large its BAR is');
});

test('"fake registers which do not affect the real registers": "BARs are one case"', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const real = rig.host.read(0x10, 4);
  assert.equal(rig.config(fd, 0x10, 4), real);
  assert.equal(rig.setConfig(fd, 0x10, 0xffff_ffff, 4), '4');
  assert.equal(rig.config(fd, 0x10, 4), 0xffff_c000);
  assert.equal(rig.setConfig(fd, 0x10, 0x1234_5678, 4), '4');
  assert.equal(rig.config(fd, 0x10, 4), 0x1234_4000);
  assert.equal(rig.host.read(0x10, 4), real);
  assert.equal(rig.config(fd, 0x14, 4), 0);
  assert.equal(rig.setConfig(fd, 0x3c, 0x55, 1), '1');
  assert.equal(rig.config(fd, 0x3c, 1), 0x55);
  assert.equal(rig.host.read(0x3c, 1), 0);
});

test('"MSI regs another": what is written to them reaches nothing, and enables nothing', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  assert.equal(rig.setConfig(fd, 0x54, 0xfee0_0000, 4), '4');
  assert.equal(rig.setConfig(fd, 0x5c, 0x4021), '2');
  assert.equal(rig.setConfig(fd, 0x52, 0x0001), '2');
  assert.equal(rig.config(fd, 0x54, 4), 0xfee0_0000, 'the driver reads what it wrote');
  assert.equal(rig.config(fd, 0x52) & 1, 0, 'but for enable');
  assert.equal(rig.host.read(0x54, 4), 0);
  assert.equal(rig.host.read(0x5c, 2), 0);
  assert.equal(rig.config(fd, 0x52) & 0x0e, 0, 'one message, until the ioctl has got more');
  const { fd: eventfd } = rig.process.eventfd();
  assert.equal(rig.vectors(fd, 'VFIO_EVENTFDS_MSI', [eventfd, eventfd, eventfd]), '0');
  assert.equal(rig.config(fd, 0x52) & 0x0e, 2 << 1);
  assert.equal(rig.setConfig(fd, 0x52, 0x0071), '2');
  assert.equal(rig.config(fd, 0x52) & 0x71, 0x21, 'no more than that');
});

test('"we must not allow the user level driver to diddle the MSI or MSI-X areas - either in config space"', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const before = rig.host.read(0x72, 2);
  for (const [at, width] of [
    [0x72, 2],
    [0x74, 4],
    [0x78, 4],
  ] as const)
    assert.equal(rig.setConfig(fd, at, 0xffff_ffff, width), String(width), 'dropped without an error');
  assert.equal(rig.host.read(0x72, 2), before);
  assert.equal(rig.config(fd, 0x74, 4), 0x2000);
});

/** The table in BAR 2, which the check of the time never looked at. */
const IN_BAR2 = {
  ...CARD,
  bars: [CARD.bars[0], undefined, { size: 0x4000, kind: 'memory32' as const }],
  capabilities: [
    msix({ offset: 0x70, vectors: 4, table: { bar: 2, offset: 0x1000 }, pba: { bar: 2, offset: 0x3000 } }),
    ...CARD.capabilities.slice(2),
  ],
};

for (const [pci, bar, table] of [
  [CARD, 0n, 0x2000n],
  [IN_BAR2, 2n, 0x1000n],
] as const) {
  test(`"… or in the device memory space": the pages of the MSI-X table in BAR ${bar}`, () => {
    const rig = new Rig([card(pci)]);
    const fd = rig.openWithDomain();
    const place = (bar << 32n) + table;
    const write = (offset: bigint, count: number) =>
      answer(rig.driver.pwrite(fd, offset, new Uint8Array(count)));
    assert.equal(write(place, 4), 'EINVAL');
    assert.equal(write(place + 0xffcn, 4), 'EINVAL', 'the whole page');
    assert.equal(write(place - 4n, 8), 'EINVAL');
    assert.equal(write(place - 4n, 4), '4');
    assert.equal(write(place + PAGE, 4), '4');
    assert.equal(rig.driver.pread(fd, place, 16).result, 16, 'reading harms nobody');
    const map = (offset: bigint, length: bigint, writable: boolean) =>
      typeof rig.driver.mmap(fd, { offset, length, shared: true, writable });
    assert.equal(map(bar << 32n, 0x4000n, true), 'number');
    assert.equal(map(place, PAGE, true), 'number');
    assert.equal(map(bar << 32n, table, true), 'object');
    assert.equal(map(place + PAGE, PAGE, true), 'object');
    assert.equal(map(bar << 32n, 0x4000n, false), 'object', 'and so does reading through a mapping');
  });
}

test('without "nice page aligned areas" a device "is not "well-behaved" and it is S.O.L."', () => {
  const crooked = {
    ...CARD,
    capabilities: [
      msix({ offset: 0x70, vectors: 4, table: { bar: 0, offset: 0x2800 }, pba: { bar: 0, offset: 0x3000 } }),
      ...CARD.capabilities.slice(2),
    ],
  };
  const refused = (device: Generic) => {
    const { kernel, driver } = new Rig([{ device }]);
    assert.deepEqual(kernel.nodes, ['/dev/uiommu']);
    assert.equal(answer(driver.open('/dev/vfio0')), 'ENODEV');
    return kernel.lyon?.refused[0]?.reason;
  };
  assert.match(
    refused(new Generic({ pci: crooked })) ?? '',
    /BAR0\+0x2800, 4 vectors\) does not begin at a page/,
  );
  const beside = { bar: 0, offset: 0x2800, width: 4 } as const;
  const shared = refused(new Generic({ pci: CARD, registers: [beside] }));
  assert.match(shared ?? '', /shares a page with other registers/);
  const elsewhere = new Generic({ pci: CARD, registers: [{ ...beside, offset: 0x1ffc }] });
  assert.deepEqual(new Rig([{ device: elsewhere }]).kernel.nodes, ['/dev/uiommu', '/dev/vfio0']);
});

test('"IRQs will be disabled after each interrupt until the driver re-enables them via the PCI COMMAND register"', () => {
  const rig = new Rig([lineCard()]);
  const fd = rig.openWithDomain();
  const { fd: line, eventfd } = rig.process.eventfd();
  assert.equal(rig.fdCall(fd, 'VFIO_EVENTFD_IRQ', line), '0');
  const raise = () => rig.driver.pwrite(fd, 0x10n, new Uint8Array(4));
  const lower = () => rig.driver.pwrite(fd, 0x14n, new Uint8Array(4));
  const interrupts = () => {
    raise();
    const count = eventfd.read();
    lower();
    return count;
  };
  assert.equal(interrupts(), 1n);
  assert.equal(rig.host.command & DISABLE_INTX, DISABLE_INTX);
  assert.equal(rig.config(fd, COMMAND) & DISABLE_INTX, 0, "which is VFIO's own affair");
  assert.equal(interrupts(), 0n, 'until it is enabled again');
  rig.setConfig(fd, COMMAND, rig.config(fd, COMMAND));
  assert.equal(interrupts(), 1n);

  assert.equal(answer(rig.driver.ioctlValue(fd, 'VFIO_IRQ_EOI')), '0');
  assert.equal(interrupts(), 1n, 'by VFIO_IRQ_EOI');

  const end = rig.process.eventfd();
  assert.equal(rig.fdCall(fd, 'VFIO_IRQ_EOI_EVENTFD', -1), 'ENODEV');
  assert.equal(rig.fdCall(fd, 'VFIO_IRQ_EOI_EVENTFD', end.fd), '0');
  assert.equal(rig.fdCall(fd, 'VFIO_IRQ_EOI_EVENTFD', end.fd), 'EBUSY');
  end.eventfd.write();
  assert.equal(interrupts(), 1n, 'by the eventfd');

  rig.setConfig(fd, COMMAND, rig.config(fd, COMMAND) | DISABLE_INTX);
  assert.equal(answer(rig.driver.ioctlValue(fd, 'VFIO_IRQ_EOI')), '0');
  assert.equal(interrupts(), 0n, 'not while the driver itself wants none');
  rig.setConfig(fd, COMMAND, rig.config(fd, COMMAND) & ~DISABLE_INTX);
  assert.equal(interrupts(), 1n);
  assert.equal(rig.fdCall(fd, 'VFIO_EVENTFD_IRQ', -1), '0');
});

test('MSI and MSI-X: "arg[0] is #, arg[1-n] are eventfds", all at once', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  rig.setConfig(fd, COMMAND, rig.config(fd, COMMAND) | MASTER);
  const eventfds = Array.from({ length: 4 }, () => rig.process.eventfd());
  const fds = eventfds.map((one) => one.fd);
  const heard = () => eventfds.map(({ eventfd }) => Number(eventfd.read())).join('');
  for (const request of ['VFIO_EVENTFDS_MSI', 'VFIO_EVENTFDS_MSIX'] as const) {
    assert.equal(rig.vectors(fd, request, []), 'EINVAL', 'nothing to take away');
    assert.equal(rig.vectors(fd, request, [...fds, 3]), 'EINVAL', 'no eventfd, or one too many');
    assert.equal(rig.vectors(fd, request, [fds[0] as number, 99]), 'EBADF');
    assert.equal(rig.vectors(fd, request, fds.slice(0, 2)), '0');
    assert.equal(rig.vectors(fd, request, fds), 'EINVAL', 'as a whole, once');
    for (const vector of [0, 1]) rig.host.fn.message(vector);
    assert.equal(heard(), '1100');
    assert.equal(rig.vectors(fd, request, []), '0');
    rig.host.fn.message(0);
    assert.equal(heard(), '0000');
  }
  assert.equal(rig.vectors(fd, 'VFIO_EVENTFDS_MSI', fds), '0');
  assert.equal(rig.fdCall(fd, 'VFIO_EVENTFD_IRQ', fds[0] as number), 'EINVAL', 'INTx and MSI are one irq');
});

test('"vaddr, dmaaddr, and size must all be page aligned"; a large buffer is mapped in pieces', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const { address } = rig.process.map(16384);
  for (const [vaddr, dmaaddr, size] of [
    [address + 8n, 0x10_0000n, PAGE],
    [address, 0x10_0010n, PAGE],
    [address, 0x10_0000n, 100n],
    [address, 0x10_0000n, LYON_MAP_SIZE_MAX + PAGE],
  ] as const)
    assert.equal(rig.map(fd, vaddr, dmaaddr, size), 'EINVAL');
  assert.equal(rig.map(fd, address + (1n << 40n), 0x10_0000n, PAGE), 'EFAULT');
  assert.equal(rig.map(fd, address, 0x10_0000n, 2n * PAGE), '0');
  assert.equal(rig.map(fd, address, 0x10_1000n, PAGE), 'EBUSY', 'an IOVA that is taken');
  assert.equal(rig.map(fd, address, 1n << 48n, PAGE), 'EFAULT', 'more than the IOMMU translates');
});

test('"If you map a 4G region": four gibibytes go in four calls', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const { process } = rig;
  // Nobody's test needs that much memory to be there.
  process.pages = (): ReturnType<Process['pages']> => 'memory';
  const start = 0x7000_0000_0000n;
  assert.equal(rig.map(fd, start, 0n, 4n << 30n), 'EINVAL');
  for (let i = 0n; i < 4n; i++) assert.equal(rig.map(fd, start + (i << 30n), i << 30n, 1n << 30n), '0');
  assert.equal(rig.device.lockedPages, 1n << 20n);
  for (let i = 0n; i < 4n; i++) assert.equal(rig.unmap(fd, start + (i << 30n), 1n << 30n), '0');
  assert.equal(rig.device.lockedPages, 0n);
});

test('"The user process must have permission to lock the pages given by the ulimit(-l) command"', () => {
  const rig = new Rig([card()], { memlock: 3n * PAGE });
  const fd = rig.openWithDomain();
  const { address } = rig.process.map(16384);
  assert.equal(rig.map(fd, address, 0x10_0000n, 4n * PAGE), 'ENOMEM');
  assert.equal(rig.map(fd, address, 0x10_0000n, 2n * PAGE), '0');
  assert.equal(rig.map(fd, address + 2n * PAGE, 0x20_0000n, 2n * PAGE), 'ENOMEM');
  assert.equal(rig.device.lockedPages, 2n);
  assert.equal(rig.kernel.locked.of(rig.process), 2n);
});

test('"locked into physical memory … until VFIO_DMA_UNMAP is called": by address and length', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const { address } = rig.process.map(16384);
  assert.equal(rig.map(fd, address, 0x10_0000n, 2n * PAGE), '0');
  assert.equal(rig.unmap(fd, address, PAGE), 'ENXIO');
  assert.equal(rig.unmap(fd, address + PAGE, PAGE), 'ENXIO');
  assert.equal(answer(rig.driver.ioctlValue(fd, 'VFIO_DOMAIN_UNSET')), 'EBUSY');
  assert.equal(rig.unmap(fd, address, 2n * PAGE), '0');
  assert.equal(rig.unmap(fd, address, 2n * PAGE), 'ENXIO');
  assert.equal(answer(rig.driver.ioctlValue(fd, 'VFIO_DOMAIN_UNSET')), '0');
  assert.equal(rig.setConfig(fd, COMMAND, 6), 'EINVAL', 'without a domain nothing can be written');
});

test('"… until the user pages are unmapped from the user process"', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const one = rig.process.map(8192).address;
  const two = rig.process.map(4096).address;
  assert.equal(rig.map(fd, one, 0x10_0000n, 2n * PAGE), '0');
  assert.equal(rig.map(fd, two, 0x20_0000n, PAGE), '0');
  const domain = rig.device.domain;
  rig.kernel.memoryGone(rig.process, one + PAGE, one + 2n * PAGE);
  assert.equal(domain?.lookup(0x10_0000n), undefined, 'a part of it is enough');
  assert.ok(domain?.lookup(0x20_0000n));
  assert.equal(rig.device.lockedPages, 1n);
  assert.equal(rig.unmap(fd, one, 2n * PAGE), 'ENXIO');
  // Without a word: found at the next call.
  rig.process.unmap(two);
  assert.equal(rig.unmap(fd, two, PAGE), 'ENXIO');
  assert.equal(rig.device.lockedPages, 0n);
});

test('"… or until the vfio file descriptor is closed": each descriptor has its own', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const second = rig.open();
  const { address } = rig.process.map(8192);
  assert.equal(rig.map(fd, address, 0x10_0000n, PAGE), '0');
  assert.equal(rig.map(second, address + PAGE, 0x20_0000n, PAGE), '0');
  const domain = rig.device.domain;
  rig.driver.close(second);
  assert.equal(domain?.lookup(0x20_0000n), undefined);
  assert.ok(domain?.lookup(0x10_0000n));
  assert.equal(rig.device.lockedPages, 1n);
  rig.driver.close(fd);
  assert.equal(domain?.lookup(0x10_0000n), undefined);
  assert.equal(rig.kernel.locked.of(rig.process), 0n);
});

test('"only 1 address space per fd"', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  assert.equal(rig.map(fd, rig.process.map(4096).address, 0x10_0000n, PAGE), '0');
  const other = new Rig([card()]);
  const file = rig.driver.file(fd);
  const call = (size: bigint) => {
    const bytes = new Uint8Array(LYON_DMA_MAP.size);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, other.process.map(4096).address, true);
    view.setBigUint64(8, 0x20_0000n, true);
    view.setBigUint64(16, size, true);
    const { address, bytes: place } = other.process.map(4096);
    place.set(bytes);
    return answer(rig.kernel.ioctl(other.process, file, 0xc0203b65, address));
  };
  assert.equal(call(PAGE), 'EINVAL');
});

test('"It is expected that hypervisors may wish to attach many devices to the same domain"', () => {
  const rig = new Rig([card(), card()]);
  const domain = rig.open('/dev/uiommu');
  const [one, two] = [rig.open('/dev/vfio0'), rig.open('/dev/vfio1')];
  assert.equal(rig.fdCall(one, 'VFIO_DOMAIN_SET', domain), '0');
  assert.equal(rig.fdCall(two, 'VFIO_DOMAIN_SET', domain), '0');
  assert.equal(rig.fdCall(two, 'VFIO_DOMAIN_SET', domain), 'EBUSY');
  const { address } = rig.process.map(4096);
  assert.equal(rig.map(one, address, 0x10_0000n, PAGE), '0');
  assert.equal(rig.map(two, address, 0x10_0000n, PAGE), 'EBUSY');
  assert.equal(rig.fdCall(one, 'VFIO_DOMAIN_SET', one), 'EBUSY');
  const [first, second] = rig.kernel.lyon?.devices ?? [];
  assert.ok(first?.host.group.domain);
  assert.equal(first.host.group.domain, second?.host.group.domain);
});

test('"Interrupt remapping is needed to protect": without it only where allow_unsafe_intrs says so', () => {
  const set = (variant: string) => {
    const rig = new Rig([card()], { variant });
    return rig.fdCall(rig.open(), 'VFIO_DOMAIN_SET', rig.open('/dev/uiommu'));
  };
  assert.equal(set('iommu=virtio'), 'EINVAL');
  assert.equal(set('iommu=virtio,unsafe-interrupts=on'), '0');
  const rig = new Rig([card()]);
  const fd = rig.open();
  assert.equal(rig.fdCall(fd, 'VFIO_DOMAIN_SET', fd), 'EINVAL', 'no uiommu');
  assert.equal(rig.fdCall(fd, 'VFIO_DOMAIN_SET', 99), 'EBADF');
});

test('without an IOMMU nothing is there', () => {
  const { kernel } = new Rig([card()], { variant: 'iommu=none,noiommu=on' });
  assert.deepEqual(kernel.nodes, ['/dev/uiommu']);
  assert.match(kernel.lyon?.refused[0]?.reason ?? '', /no IOMMU/);
});

test('a reset that the driver makes itself: memory decode comes back with the BARs', () => {
  const rig = new Rig([card()]);
  const fd = rig.openWithDomain();
  const bar = rig.host.read(0x10, 4);
  rig.setConfig(fd, 0xa8, 0xa810);
  assert.equal(rig.host.read(0x10, 4) & ~0xf, 0, 'the reset took the address');
  assert.equal(rig.driver.pread(fd, 0n, 4).bytes[0], 0xff);
  rig.setConfig(fd, COMMAND, 0x0006);
  assert.equal(rig.host.read(0x10, 4), bar);
  assert.equal(rig.driver.pread(fd, 0n, 4).bytes[0], 0);
});

test('config space in no capability: writes go nowhere, reads are zero', () => {
  const rig = new Rig([card({ ...CARD, gaps: [[0x48, 0x77]] })]);
  const fd = rig.openWithDomain();
  assert.equal(rig.host.read(0x48, 1), 0x77);
  assert.equal(rig.config(fd, 0x48, 1), 0);
  assert.equal(rig.setConfig(fd, 0x48, 0x11, 1), '1');
  assert.equal(rig.host.read(0x48, 1), 0x77);
  assert.equal(rig.driver.pread(fd, (0xfn << 32n) + 4094n, 4).result, 2);
  assert.equal(answer(rig.driver.pread(fd, (0xfn << 32n) + 4097n, 4).result), 'EINVAL');
});

test('[Re: Hotplug and Suspend/Resume]: the messages that the later versions had', () => {
  const rig = new Rig([card()]);
  const { netlink } = rig.kernel.lyon ?? assert.fail();
  const inbox: Uint8Array[] = [];
  const client = netlink.connect((datagram) => inbox.push(datagram));
  const next = () => decodeNetlink(inbox.shift() ?? assert.fail('no message'))[0] ?? assert.fail();
  client.send(
    encodeNetlink({
      type: GENL_ID_CTRL,
      flags: NLM_F_REQUEST,
      sequence: 1,
      command: CTRL_CMD_GETFAMILY,
      attributes: [rawAttribute(CTRL_ATTR_FAMILY_NAME, Buffer.from('VFIO\0'))],
    }),
  );
  const family = Number(attributeNumber(next(), { type: CTRL_ATTR_FAMILY_ID, bytes: 2 }));
  const { MSGCAP, PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC, PM_SUSPEND_REPLY } = LYON_ATTRIBUTES;
  const place = [
    attribute(PCI_DOMAIN.type, 4, 0),
    attribute(PCI_BUS.type, 2, 0),
    attribute(PCI_SLOT.type, 1, 4),
    attribute(PCI_FUNC.type, 1, 0),
  ];
  const send = (command: number, type: number, bytes: number, value: number, slot = place) => {
    const attributes = [attribute(type, bytes, value), ...slot];
    client.send(
      encodeNetlink({ type: family, flags: NLM_F_REQUEST | NLM_F_ACK, sequence: 7, command, attributes }),
    );
    return new DataView(next().bytes.buffer, 16).getInt32(0, true);
  };
  const { REGISTER, REMOVE, PM_SUSPEND, PM_RESUME, PM_SUSPEND_REPLY: REPLY } = LYON_MESSAGES;
  assert.equal(send(REGISTER, MSGCAP.type, 8, 0), -22, 'wanting nothing');
  assert.equal(send(REGISTER, MSGCAP.type, 8, 2, []), -22, 'of no device');

  assert.ok(netlink.suspend(), 'nobody has the device: the machine may sleep');
  assert.ok(netlink.mayAllSleep);
  const fd = rig.openWithDomain();
  assert.equal(netlink.suspend(), false, "a driver that can't be told keeps it awake");
  const wanted = (1 << REMOVE) | (1 << PM_SUSPEND) | (1 << PM_RESUME);
  assert.equal(send(REGISTER, MSGCAP.type, 8, wanted), 0);
  assert.ok(netlink.suspend());
  assert.equal(netlink.mayAllSleep, false, 'until it answers');
  assert.equal(next().command, PM_SUSPEND);
  assert.equal(send(REPLY, PM_SUSPEND_REPLY.type, 4, 0), 0);
  assert.ok(netlink.mayAllSleep);
  netlink.resume();
  assert.equal(next().command, PM_RESUME);
  netlink.suspend();
  next();
  assert.equal(send(REPLY, PM_SUSPEND_REPLY.type, 4, 1), 0);
  assert.equal(netlink.mayAllSleep, false, 'a veto');

  rig.kernel.lyon?.remove('0000:00:04.0');
  const removal = next();
  assert.equal(removal.command, REMOVE);
  assert.equal(attributeNumber(removal, PCI_SLOT), 4n);
  assert.equal(answer(rig.open()), 'ENODEV', 'no further opens');
  assert.equal(rig.config(fd, 0), 0x8086, 'and it waits for the one that is');
  assert.equal(rig.kernel.lyon?.devices.length, 1);
  rig.driver.close(fd);
  assert.equal(rig.kernel.lyon?.devices.length, 0);
});

test('a device that is pulled out is removed like one that is taken away', () => {
  const rig = new Rig([
    { device: new Generic({ pci: CARD, triggers: [{ bar: 0, offset: 0, action: { do: 'vanish' } }] }) },
  ]);
  const fd = rig.openWithDomain();
  rig.driver.pwrite(fd, 0n, new Uint8Array(4));
  assert.equal(answer(rig.open()), 'ENODEV');
  assert.equal(rig.driver.pread(fd, 0x100n, 1).bytes[0], 0xff);
  rig.driver.close(fd);
  assert.deepEqual(rig.kernel.nodes, ['/dev/uiommu']);
});
