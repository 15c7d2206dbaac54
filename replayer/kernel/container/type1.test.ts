// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encode } from '../../../abi/layout.js';
import { SET_CONTAINER } from '../../../abi/vfio/group.js';
import {
  BITMAP,
  DIRTY_BITMAP,
  DIRTY_BITMAP_GET,
  DIRTY_PAGES_FLAGS,
  DMA_MAP,
  DMA_UNMAP,
  DMA_UNMAP_FLAGS,
} from '../../../abi/vfio/type1.js';
import { Edu } from '../../devices/edu/edu.js';
import { SimulatedKernel } from '../kernel.js';
import { answer, LocalDriver, littleEndian } from '../local-driver.js';
import { LocalProcess } from '../local-process.js';

const PAGE = 4096n;
const VADDR_FLAG = 4;

function container({ type = 3, memlock = 2n ** 64n - 1n, locked = true } = {}) {
  const kernel = new SimulatedKernel({ devices: [{ device: new Edu() }], schedule: () => {} });
  const process = new LocalProcess({ memlock, capabilities: locked ? ['IPC_LOCK'] : [] });
  const driver = new LocalDriver(kernel, process);
  const fd = driver.open('/dev/vfio/vfio');
  const group = driver.open('/dev/vfio/1');
  driver.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', SET_CONTAINER, { fd });
  assert.equal(driver.ioctlValue(fd, 'VFIO_SET_IOMMU', type), 0);
  const map = (vaddr: bigint, iova: bigint, size: bigint, flags = 3) =>
    answer(driver.ioctl(fd, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, { flags, vaddr, iova, size }).result);
  const unmap = (iova: bigint, size: bigint, flags = 0) => {
    const { result, values } = driver.ioctl(fd, 'VFIO_IOMMU_UNMAP_DMA', DMA_UNMAP, { flags, iova, size });
    return result < 0 ? answer(result) : String(values.size);
  };
  return { kernel, process, driver, fd, group, map, unmap };
}

test('type 1 of old unmaps whole mappings from their first byte on, and else nothing', () => {
  const { process, map, unmap } = container({ type: 1 });
  const { address } = process.map(0x1_0000);
  assert.equal(map(address, 0x10_0000n, 4n * PAGE), '0');
  assert.equal(unmap(0x10_1000n, PAGE), '0', 'a middle page');
  assert.equal(unmap(0x10_0000n, PAGE), String(4n * PAGE), 'the first page takes all with it');
});

test('there are 65535 mappings at most, and unmapping gives them back', () => {
  const { process, map, unmap } = container();
  const { address } = process.map(4096);
  for (let i = 0n; i < 65535n; i++) assert.equal(map(address, i * PAGE, PAGE), '0');
  assert.equal(map(address, 65535n * PAGE, PAGE), 'ENOSPC');
  assert.equal(unmap(0n, 0n, DMA_UNMAP_FLAGS.bits.ALL), String(65535n * PAGE));
  assert.equal(map(address, 0n, PAGE), '0');
});

test('locked memory is counted per process, once for each mapping, and given back', () => {
  const { process, map, unmap, driver, group, fd } = container({ memlock: 4n * PAGE, locked: false });
  const { address } = process.map(0x1_0000);
  assert.equal(map(address, 0n, 3n * PAGE), '0');
  assert.equal(map(address, 0x10_0000n, 2n * PAGE), 'ENOMEM', 'the same pages count again');
  assert.equal(map(address, 0x10_0000n, PAGE), '0');
  assert.equal(unmap(0n, 3n * PAGE), String(3n * PAGE));
  assert.equal(map(address, 0n, 3n * PAGE), '0');
  assert.equal(driver.kernel.locked.of(process), 4n);
  driver.close(group);
  assert.equal(driver.kernel.locked.of(process), 0n, 'with the last group all mappings go');
  assert.equal(
    answer(driver.ioctlValue(fd, 'VFIO_IOMMU_GET_INFO', 0)),
    'EINVAL',
    'and the container is as new',
  );
});

test('an address can be given up and taken over by another process', () => {
  const { process, map, unmap, driver, fd } = container();
  const old = process.map(8192).address;
  assert.equal(map(old, 0n, 2n * PAGE), '0');
  assert.equal(map(old, 0n, 2n * PAGE, VADDR_FLAG), 'EINVAL', 'still valid');
  assert.equal(unmap(0n, 2n * PAGE, DMA_UNMAP_FLAGS.bits.VADDR), String(2n * PAGE));
  assert.equal(unmap(0n, 2n * PAGE, DMA_UNMAP_FLAGS.bits.VADDR), 'EINVAL', 'twice');
  const heir = new LocalProcess();
  const other = new LocalDriver(driver.kernel, heir);
  const inherited = heir.install(driver.file(fd).hold());
  const vaddr = heir.map(8192).address;
  const take = (size: bigint) =>
    answer(
      other.ioctl(inherited, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, { flags: VADDR_FLAG, vaddr, iova: 0n, size })
        .result,
    );
  assert.equal(take(PAGE), 'EINVAL', 'not the whole');
  assert.equal(take(2n * PAGE), '0');
  assert.deepEqual([driver.kernel.locked.of(process), driver.kernel.locked.of(heir)], [0n, 2n]);
});

test('every mapped page is dirty', () => {
  const { process, map, driver, fd } = container();
  const { address } = process.map(0x10_0000);
  const bitmap = process.map(4096);
  const dirty = (flags: number, tail: Uint8Array = new Uint8Array()) =>
    answer(driver.ioctl(fd, 'VFIO_IOMMU_DIRTY_PAGES', DIRTY_BITMAP, { flags }, { tail }).result);
  const { START, STOP, GET_BITMAP } = DIRTY_PAGES_FLAGS.bits;
  const query = (iova: bigint, range: bigint, pgsize = PAGE) =>
    dirty(
      GET_BITMAP,
      encode(DIRTY_BITMAP_GET, { iova, range, pgsize, bitmap_size: 64n, data: bitmap.address }),
    );
  assert.equal(map(address, 3n * PAGE, 2n * PAGE), '0');
  assert.equal(map(address, 70n * PAGE, 3n * PAGE), '0');
  assert.equal(query(0n, 128n * PAGE), 'EINVAL', 'not started');
  assert.equal(dirty(START), '0');
  assert.equal(dirty(START | STOP), 'EINVAL');
  assert.equal(query(0n, 128n * PAGE), '0');
  const view = new DataView(bitmap.bytes.buffer);
  assert.equal(view.getBigUint64(0, true), 0b11000n);
  assert.equal(view.getBigUint64(8, true), 0b111n << 6n);
  assert.equal(query(4n * PAGE, 16n * PAGE), 'EINVAL', 'begins inside a mapping');
  assert.equal(query(0n, 128n * PAGE, 8192n), 'EINVAL', 'only the smallest page size');
  const tail = encode(BITMAP, { pgsize: PAGE, bitmap_size: 8n, data: bitmap.address });
  const values = { flags: DMA_UNMAP_FLAGS.bits.GET_DIRTY_BITMAP, iova: 3n * PAGE, size: 2n * PAGE };
  assert.equal(driver.ioctl(fd, 'VFIO_IOMMU_UNMAP_DMA', DMA_UNMAP, values, { tail }).result, 0);
  assert.equal(view.getBigUint64(0, true), 0b11n);
  assert.equal(dirty(STOP), '0');
});

test('a device reaches exactly what is mapped, with the permission that it is mapped with', () => {
  const step = fc.record({
    map: fc.boolean(),
    page: fc.nat(15),
    pages: fc.integer({ min: 1, max: 4 }),
    flags: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
      const { kernel, process, map, unmap } = container();
      const { address } = process.map(0x10_0000);
      /** Permission by page; which mapping a page belongs to. */
      const model = new Map<
        number,
        { readonly flags: number; readonly owner: object; readonly pages: number }
      >();
      for (const { map: mapping, page, pages, flags } of steps) {
        const range = Array.from({ length: pages }, (_, i) => page + i);
        const iova = BigInt(page) * PAGE;
        const size = BigInt(pages) * PAGE;
        if (mapping) {
          const free = range.every((one) => !model.has(one));
          assert.equal(map(address, iova, size, flags), free ? '0' : 'EEXIST');
          const owner = {};
          if (free) for (const one of range) model.set(one, { flags, owner, pages });
        } else {
          const owners = new Set(range.flatMap((one) => model.get(one)?.owner ?? []));
          const whole = [...owners].every((owner) =>
            [...model].every(([one, held]) => held.owner !== owner || range.includes(one)),
          );
          const found = range.filter((one) => model.has(one)).length;
          assert.equal(unmap(iova, size), whole ? String(BigInt(found) * PAGE) : 'EINVAL');
          if (whole) for (const one of range) model.delete(one);
        }
      }
      const port = kernel.devices[0]?.core.pci.fn.upstream;
      for (let page = 0; page < 20; page++) {
        const flags = model.get(page)?.flags ?? 0;
        assert.equal(port?.dmaRead(BigInt(page) * PAGE, new Uint8Array(8)), (flags & 1) !== 0);
        assert.equal(port?.dmaWrite(BigInt(page) * PAGE, littleEndian(1, 8)), (flags & 2) !== 0);
      }
    }),
    { numRuns: 60 },
  );
});
