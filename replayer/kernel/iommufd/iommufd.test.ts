// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HW_INFO, HWPT_ALLOC } from '../../../abi/iommufd/hwpt.js';
import {
  DESTROY,
  IOAS_ALLOC,
  IOAS_COPY,
  IOAS_IOVA_RANGES,
  IOAS_MAP,
  IOAS_UNMAP,
  OPTION,
} from '../../../abi/iommufd/ioas.js';
import type { Layout, PartialValues } from '../../../abi/layout.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD, DETACH_IOMMUFD_PT } from '../../../abi/vfio/device.js';
import { SET_CONTAINER } from '../../../abi/vfio/group.js';
import { DMA_MAP, DMA_UNMAP } from '../../../abi/vfio/type1.js';
import { Edu } from '../../devices/edu/edu.js';
import { SimulatedKernel } from '../kernel.js';
import { answer, LocalDriver } from '../local-driver.js';
import { LocalProcess } from '../local-process.js';
import { parseVariant } from '../variant.js';

const PAGE = 4096n;
const FIXED = 7;
const ANYWHERE = 6;

function machine({ variant = '', locked = true, memlock = 2n ** 64n - 1n } = {}) {
  const kernel = new SimulatedKernel({
    variant: parseVariant(variant),
    devices: [{ device: new Edu() }],
    schedule: () => {},
  });
  const process = new LocalProcess({ capabilities: locked ? ['IPC_LOCK'] : [], memlock });
  const driver = new LocalDriver(kernel, process);
  const iommufd = driver.open('/dev/iommu');
  const call = <L extends Layout>(name: string, layout: L, values: PartialValues<L>) =>
    driver.ioctl(iommufd, name, layout, values);
  const ioas = () => call('IOMMU_IOAS_ALLOC', IOAS_ALLOC, {}).values.out_ioas_id;
  const map = (ioas_id: number, user_va: bigint, length: bigint, iova?: bigint) => {
    const flags = iova === undefined ? ANYWHERE : FIXED;
    return call('IOMMU_IOAS_MAP', IOAS_MAP, { ioas_id, flags, user_va, length, iova: iova ?? 0n });
  };
  return { kernel, process, driver, iommufd, call, ioas, map };
}

function bind(driver: LocalDriver, iommufd: number) {
  const device = driver.open('/dev/vfio/devices/vfio0');
  const bound = driver.ioctl(device, 'VFIO_DEVICE_BIND_IOMMUFD', BIND_IOMMUFD, { iommufd });
  const attach = (pt_id: number) =>
    driver.ioctl(device, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', ATTACH_IOMMUFD_PT, { pt_id });
  return { device, bound, attach };
}

test('a character device answers nothing before it is bound, and its group is closed to others', () => {
  const { driver, iommufd } = machine();
  const early = driver.open('/dev/vfio/devices/vfio0');
  assert.equal(answer(driver.pread(early, 0n, 4).result), 'EINVAL');
  assert.equal(answer(driver.ioctlValue(early, 'VFIO_DEVICE_RESET')), 'EINVAL');
  const { device, bound } = bind(driver, iommufd);
  assert.equal(bound.result, 0);
  assert.equal(answer(driver.open('/dev/vfio/1')), 'EBUSY');
  const twice = driver.ioctl(early, 'VFIO_DEVICE_BIND_IOMMUFD', BIND_IOMMUFD, { iommufd });
  assert.equal(answer(twice.result), 'EINVAL', 'one opener only');
  const wrong = driver.ioctl(early, 'VFIO_DEVICE_BIND_IOMMUFD', BIND_IOMMUFD, { iommufd: device });
  assert.equal(answer(wrong.result), 'EBADFD');
  driver.close(device);
  assert.ok(driver.open('/dev/vfio/1') >= 0);
});

test('attaching reserves the interrupt window and ends the aperture', () => {
  const { driver, iommufd, call, ioas, process } = machine();
  const id = ioas();
  const ranges = process.map(4096);
  const query = (num_iovas: number) =>
    call('IOMMU_IOAS_IOVA_RANGES', IOAS_IOVA_RANGES, {
      ioas_id: id,
      num_iovas,
      allowed_iovas: ranges.address,
    });
  assert.equal(query(8).values.num_iovas, 1);
  const { attach } = bind(driver, iommufd);
  assert.equal(attach(id).result, 0);
  const short = query(1);
  assert.equal(answer(short.result), 'EMSGSIZE');
  assert.equal(short.values.num_iovas, 2);
  const full = query(2);
  assert.equal(full.result, 0);
  assert.equal(full.values.out_iova_alignment, PAGE);
  const view = new DataView(ranges.bytes.buffer);
  const found = [0, 8, 16, 24].map((at) => view.getBigUint64(at, true));
  assert.deepEqual(found, [0n, 0xfedf_ffffn, 0xfef0_0000n, 2n ** 48n - 1n]);
});

test('maps: fixed and chosen addresses, overlaps, device memory, whole unmaps', () => {
  const { driver, iommufd, call, ioas, process, map, kernel } = machine();
  const id = ioas();
  const { attach, device } = bind(driver, iommufd);
  attach(id);
  const { address, bytes } = process.map(0x1_0000);
  assert.equal(map(id, address, 4n * PAGE, 0x10_0000n).result, 0);
  assert.equal(answer(map(id, address, PAGE, 0x10_1000n).result), 'EEXIST');
  assert.equal(answer(map(id, address, PAGE, 0xfee0_0000n).result), 'EINVAL');
  assert.equal(answer(map(id, address, 100n, 0x20_0000n).result), 'EINVAL');
  assert.equal(answer(map(id, 0n, PAGE, 0x20_0000n).result), 'EFAULT');
  assert.equal(
    answer(map(id, process.map(4096, { device: true }).address, PAGE, 0x20_0000n).result),
    'EFAULT',
  );
  const chosen = map(id, address, 2n * PAGE);
  assert.equal(chosen.result, 0);
  assert.notEqual(chosen.values.iova, 0n);
  const unmap = (iova: bigint, length: bigint) => {
    const { result, values } = call('IOMMU_IOAS_UNMAP', IOAS_UNMAP, { ioas_id: id, iova, length });
    return result < 0 ? answer(result) : String(values.length);
  };
  assert.equal(unmap(0x10_0000n, PAGE), 'ENOENT', 'no splitting');
  assert.equal(unmap(0x50_0000n, PAGE), 'ENOENT');
  const port = kernel.devices[0]?.core.pci.fn.upstream;
  bytes[5] = 0x77;
  const got = new Uint8Array(8);
  assert.equal(port?.dmaRead(0x10_0000n, got), true);
  assert.equal(got[5], 0x77);
  assert.equal(unmap(0n, 2n ** 64n - 1n), String(6n * PAGE));
  assert.equal(port?.dmaRead(0x10_0000n, got), false);
  const detached = driver.ioctl(device, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', DETACH_IOMMUFD_PT, {});
  assert.equal(detached.result, 0);
  assert.equal(port?.dmaRead(0x10_0000n, got), false);
  assert.deepEqual(
    kernel.faults.first.map(({ reason }) => reason),
    ['not mapped', 'no address space'],
  );
});

test('what was mapped before an attach is checked and pinned by it', () => {
  const { driver, iommufd, ioas, process, map, kernel } = machine();
  const id = ioas();
  const { address } = process.map(0x1_0000);
  assert.equal(map(id, address, PAGE, 0xfee0_0000n).result, 0, 'nothing is reserved yet');
  assert.equal(kernel.locked.of(process), 0n);
  const { attach } = bind(driver, iommufd);
  assert.equal(answer(attach(id).result), 'EADDRINUSE');
  const other = ioas();
  assert.equal(map(other, address, 2n * PAGE, 0n).result, 0);
  assert.equal(attach(other).result, 0);
  assert.equal(kernel.locked.of(process), 2n);
});

test('pages are limited unless the process may lock them', () => {
  const { driver, iommufd, ioas, process, map } = machine({ locked: false, memlock: 2n * PAGE });
  const id = ioas();
  bind(driver, iommufd).attach(id);
  const { address } = process.map(0x1_0000);
  assert.equal(answer(map(id, address, 3n * PAGE, 0n).result), 'ENOMEM');
  assert.equal(map(id, address, 2n * PAGE, 0n).result, 0);
});

test('objects are used while others hold them', () => {
  const { driver, iommufd, call, ioas, process, map } = machine();
  const id = ioas();
  const { bound, attach } = bind(driver, iommufd);
  const destroy = (one: number) => answer(call('IOMMU_DESTROY', DESTROY, { id: one }).result);
  assert.equal(destroy(bound.values.out_devid), 'EBUSY');
  const hwpt = call('IOMMU_HWPT_ALLOC', HWPT_ALLOC, { dev_id: bound.values.out_devid, pt_id: id });
  assert.equal(hwpt.result, 0);
  assert.equal(destroy(id), 'EBUSY');
  assert.equal(attach(hwpt.values.out_hwpt_id).result, 0);
  assert.equal(destroy(hwpt.values.out_hwpt_id), 'EBUSY');
  const second = ioas();
  assert.equal(attach(second).result, 0, 'replaced');
  assert.equal(destroy(hwpt.values.out_hwpt_id), '0');
  assert.equal(destroy(id), '0');
  assert.equal(destroy(99), 'ENOENT');
  const flags = call('IOMMU_HWPT_ALLOC', HWPT_ALLOC, {
    dev_id: bound.values.out_devid,
    pt_id: second,
    flags: 2,
  });
  assert.equal(answer(flags.result), 'EOPNOTSUPP');
  const { address } = process.map(0x1_0000);
  map(second, address, 2n * PAGE, 0n);
  const third = ioas();
  const copied = call('IOMMU_IOAS_COPY', IOAS_COPY, {
    flags: FIXED,
    src_ioas_id: second,
    dst_ioas_id: third,
    src_iova: PAGE,
    dst_iova: 0x30_0000n,
    length: PAGE,
  });
  assert.equal(copied.result, 0);
});

test('structures may be longer, if with zeros, and not shorter than the first kernel had them', () => {
  const { driver, iommufd, call } = machine();
  const long = (last: number) => {
    const tail = new Uint8Array(8);
    tail[7] = last;
    return answer(driver.ioctl(iommufd, 'IOMMU_IOAS_ALLOC', IOAS_ALLOC, {}, { tail }).result);
  };
  assert.equal(long(0), '0');
  assert.equal(long(1), 'E2BIG');
  assert.equal(answer(call('IOMMU_IOAS_ALLOC', IOAS_ALLOC, { size: 8 }).result), 'EINVAL');
  assert.equal(answer(call('IOMMU_GET_HW_INFO', HW_INFO, { dev_id: 7 }).result), 'ENOENT');
  assert.equal(answer(call('IOMMU_OPTION', OPTION, { option_id: 7 }).result), 'EOPNOTSUPP');
  assert.equal(answer(driver.ioctlValue(iommufd, 0x3b7f)), 'ENOTTY');
});

test('an iommufd serves as a container', () => {
  const { driver, iommufd, process } = machine();
  const group = driver.open('/dev/vfio/1');
  assert.equal(answer(driver.ioctlValue(iommufd, 'VFIO_SET_IOMMU', 3)), 'ENODEV', 'no group yet');
  assert.equal(driver.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', SET_CONTAINER, { fd: iommufd }).result, 0);
  assert.equal(driver.ioctlValue(iommufd, 'VFIO_SET_IOMMU', 1), 0);
  const name = new TextEncoder().encode('0000:00:04.0\0');
  assert.ok(driver.ioctlBytes(group, 'VFIO_GROUP_GET_DEVICE_FD', name) >= 0);
  const { address } = process.map(0x1_0000);
  const values = { flags: 3, vaddr: address, iova: 0x10_0000n, size: 4n * PAGE };
  assert.equal(driver.ioctl(iommufd, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, values).result, 0);
  const middle = driver.ioctl(iommufd, 'VFIO_IOMMU_UNMAP_DMA', DMA_UNMAP, { iova: 0x10_1000n, size: PAGE });
  assert.equal(middle.result, 0, 'type 1 of old is unmapped anywhere');
  assert.equal(middle.values.size, PAGE);
});

test('6.1 has neither iommufd nor character devices', () => {
  const kernel = new SimulatedKernel({
    variant: parseVariant('version=6.1'),
    devices: [{ device: new Edu() }],
  });
  const driver = new LocalDriver(kernel, new LocalProcess());
  assert.equal(answer(driver.open('/dev/iommu')), 'ENOENT');
  assert.equal(answer(driver.open('/dev/vfio/devices/vfio0')), 'ENOENT');
  assert.deepEqual(kernel.nodes, ['/dev/vfio/vfio', '/dev/vfio/1']);
});
