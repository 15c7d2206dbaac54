// SPDX-License-Identifier: Apache-2.0
import { decode, readU32, readU64 } from '../../abi/layout.js';
import { infoCapabilities } from '../../abi/vfio/capability-chain.js';
import {
  DMA_MAP,
  DMA_UNMAP,
  DMA_UNMAP_FLAGS,
  IOMMU_CAP_DMA_AVAIL,
  IOMMU_CAP_IOVA_RANGE,
  IOMMU_INFO,
} from '../../abi/vfio/type1.js';
import { answer, hex, LocalDriver } from '../../replayer/kernel/local-driver.js';
import { LocalProcess } from '../../replayer/kernel/local-process.js';
import type { Probe } from './context.js';

const READ = 1;
const WRITE = 2;

interface Map {
  readonly vaddr: bigint;
  readonly iova: bigint;
  readonly size: bigint;
  readonly flags?: number;
  readonly argsz?: number;
}

/** DMA maps of type 1: what overlaps, what is aligned, what is out of range, what may be locked. */
export function probeDma({ driver, container, report }: Probe): void {
  const highest = probeIommuInfo(driver, container, report);
  const map = ({ flags = READ | WRITE, argsz = DMA_MAP.size, ...rest }: Map) =>
    answer(driver.ioctl(container, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, { argsz, flags, ...rest }).result);
  const unmap = (iova: bigint, size: bigint, flags = 0) => {
    const { result, values } = driver.ioctl(container, 'VFIO_IOMMU_UNMAP_DMA', DMA_UNMAP, {
      flags,
      iova,
      size,
    });
    return result < 0 ? answer(result) : String(values.size);
  };
  const vaddr = driver.process.map(0x10_0000).address;
  const readOnly = driver.process.map(4096, { writable: false }).address;
  const bar = driver.process.map(4096, { device: true }).address;
  const whole = { vaddr, iova: 0x10_0000n, size: 0x1_0000n };
  const page = (iova: bigint) => ({ vaddr, iova, size: 4096n });
  report('MAP_DMA 64K @0x100000', map(whole));
  report('MAP_DMA same again (overlap, identical)', map(whole));
  report('MAP_DMA partial overlap', map({ ...whole, iova: 0x10_8000n }));
  report('MAP_DMA same vaddr at a second iova (alias)', map({ ...whole, iova: 0x11_0000n }));
  report('MAP_DMA vaddr unaligned', map({ ...page(0x20_0000n), vaddr: vaddr + 4n }));
  report('MAP_DMA iova unaligned', map(page(0x20_0004n)));
  report('MAP_DMA size unaligned (100)', map({ ...page(0x20_0000n), size: 100n }));
  report('MAP_DMA size 0', map({ ...page(0x20_0000n), size: 0n }));
  report('MAP_DMA flags 0', map({ ...page(0x20_0000n), flags: 0 }));
  report('MAP_DMA flags READ only', map({ ...page(0x20_0000n), flags: READ }));
  report('MAP_DMA unknown flag bit 8', map({ ...page(0x30_0000n), flags: READ | WRITE | 8 }));
  report('MAP_DMA vaddr NULL/unmapped', map({ ...page(0x30_0000n), vaddr: 0n }));
  report('MAP_DMA of a PROT_READ mapping with WRITE flag', map({ ...page(0x30_0000n), vaddr: readOnly }));
  report('MAP_DMA iova in MSI window 0xfee00000', map(page(0xfee0_0000n)));
  report('MAP_DMA iova in MSI window 0xfee00000: (hi = highest iova)', hex(highest));
  report('MAP_DMA iova just above the aperture', map(page(BigInt.asUintN(64, highest + 1n))));
  report('MAP_DMA iova wrap', map({ vaddr, iova: 2n ** 64n - 4096n, size: 8192n }));
  report('MAP_DMA argsz 16', map({ ...page(0x30_0000n), argsz: 16 }));
  report("MAP_DMA of the device's own BAR mapping (P2P)", map({ ...page(0x40_0000n), vaddr: bar }));
  report('UNMAP_DMA part of a mapping (v2)', unmap(0x10_0000n, 4096n));
  report('UNMAP_DMA nothing there (returned size)', unmap(0x50_0000n, 4096n));
  report('UNMAP_DMA spanning two mappings (returned size)', unmap(0x10_0000n, 0x2_0000n));
  report('UNMAP_DMA size unaligned', unmap(0x20_0000n, 100n));
  report('UNMAP_DMA FLAG_ALL (returned size)', unmap(0n, 0n, DMA_UNMAP_FLAGS.bits.ALL));
  report('UNMAP_DMA FLAG_ALL with nonzero size', unmap(0n, 4096n, DMA_UNMAP_FLAGS.bits.ALL));
  probeLimit(driver, container, report);
}

function probeIommuInfo(driver: LocalDriver, container: number, report: Probe['report']): bigint {
  const tail = new Uint8Array(4096);
  const { values, bytes } = driver.ioctl(container, 'VFIO_IOMMU_GET_INFO', IOMMU_INFO, {}, { tail });
  report('IOMMU_GET_INFO', `flags=${hex(values.flags)} pgsizes=${hex(values.iova_pgsizes)}`);
  let highest = 0n;
  let ranges = 0;
  for (const { id, bytes: capability } of infoCapabilities(
    bytes,
    decode(IOMMU_INFO, bytes).cap_offset ?? 0,
  )) {
    if (id === IOMMU_CAP_DMA_AVAIL) report('IOMMU_GET_INFO: dma_avail', String(readU32(capability, 8)));
    else if (id === IOMMU_CAP_IOVA_RANGE) {
      for (; ranges < readU32(capability, 8); ranges++) {
        const start = readU64(capability, 16 + 16 * ranges);
        highest = readU64(capability, 24 + 16 * ranges);
        const suffix = ranges === 0 ? '' : ` ${ranges + 1}`;
        report(`IOMMU_GET_INFO: iova range${suffix}`, `${hex(start)}-${hex(highest)}`);
      }
    } else report('IOMMU_GET_INFO: cap', `id ${id}`);
  }
  return highest;
}

/** Another process that has the container, may lock 64 KiB and has no capability. */
function probeLimit(driver: LocalDriver, container: number, report: Probe['report']): void {
  const poor = new LocalProcess({ memlock: 65536n });
  const other = new LocalDriver(driver.kernel, poor);
  const fd = poor.install(driver.file(container).hold());
  const vaddr = poor.map(0x10_0000).address;
  const map = (size: bigint) => {
    const values = { flags: READ | WRITE, vaddr, iova: 0x100_0000n, size };
    return answer(other.ioctl(fd, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, values).result);
  };
  report('MAP_DMA 1M with RLIMIT_MEMLOCK=64K, no CAP_IPC_LOCK', map(0x10_0000n));
  report('MAP_DMA 32K in the same process', map(0x8000n));
  poor.exit();
}
