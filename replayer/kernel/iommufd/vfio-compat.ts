// SPDX-License-Identifier: Apache-2.0
/** VFIO's container ioctls on an iommufd, done to its compatibility IOAS (drivers/iommu/iommufd/vfio_compat.c). */
import { CONTAINER_IOCTLS, EXTENSIONS } from '../../../abi/vfio/container.js';
import {
  DMA_MAP,
  DMA_MAP_FLAGS,
  DMA_UNMAP,
  DMA_UNMAP_FLAGS,
  IOMMU_CAP_DMA_AVAIL,
  IOMMU_CAP_IOVA_RANGE,
  IOMMU_INFO,
  IOMMU_INFO_FLAGS,
  TYPE1_IOCTLS,
} from '../../../abi/vfio/type1.js';
import { EFAULT, EINVAL, ENODEV, ENOTTY, EPERM } from '../errno.js';
import { capabilityChain } from '../info-capabilities.js';
import { DMA_READ, DMA_WRITE } from '../iommu/mappings.js';
import type { Call } from '../process.js';
import { handlers } from '../requests.js';
import { bytesOut, endOf, numberArgument, structIn, structOut } from '../user-memory.js';
import type { Iommufd } from './iommufd.js';

const { TYPE1_IOMMU, TYPE1v2_IOMMU, NOIOMMU_IOMMU, UNMAP_ALL, DMA_CC_IOMMU } = EXTENSIONS.values;

export function compatIoctl(iommufd: Iommufd, call: Call): number {
  return IOCTLS.get(call.request)?.(iommufd, call) ?? -ENOTTY;
}

function checkExtension(iommufd: Iommufd, extension: number): number {
  switch (extension) {
    case TYPE1_IOMMU:
    case TYPE1v2_IOMMU:
    case UNMAP_ALL:
      return iommufd.noiommu ? 0 : 1;
    case NOIOMMU_IOMMU:
      return 1;
    case DMA_CC_IOMMU:
      if (iommufd.compatIoas === undefined) return -ENODEV;
      return iommufd.compatIoas.hwpts.every(({ hardware }) => hardware.enforcesCoherency) ? 1 : 0;
    default:
      return 0;
  }
}

function setIommu(iommufd: Iommufd, call: Call): number {
  const type = numberArgument(call);
  if (type === NOIOMMU_IOMMU && iommufd.noiommu) return call.process.capable('SYS_RAWIO') ? 0 : -EPERM;
  if ((type !== TYPE1_IOMMU && type !== TYPE1v2_IOMMU) || iommufd.noiommu) return -EINVAL;
  const ioas = iommufd.compatIoas;
  if (ioas === undefined) return -ENODEV;
  // Type 1 could be unmapped anywhere: that needs small pages.
  return type === TYPE1_IOMMU ? ioas.table.setLargePages(false) : 0;
}

function getInfo(iommufd: Iommufd, call: Call): number {
  const size = endOf(IOMMU_INFO, 'iova_pgsizes');
  const given = structIn(call, IOMMU_INFO, size);
  if (given === undefined) return -EFAULT;
  const { argsz } = given;
  if (argsz < size) return -EINVAL;
  const ioas = iommufd.compatIoas;
  if (ioas === undefined) return -ENODEV;
  const available = new Uint8Array(4).fill(0xff);
  const { usable } = ioas.table;
  const ranges = new DataView(new ArrayBuffer(8 + 16 * usable.length));
  ranges.setUint32(0, usable.length, true);
  usable.forEach(({ start, last }, i) => {
    ranges.setBigUint64(8 + 16 * i, start, true);
    ranges.setBigUint64(16 + 16 * i, last, true);
  });
  const chain = capabilityChain(
    [
      { id: IOMMU_CAP_DMA_AVAIL, body: available },
      { id: IOMMU_CAP_IOVA_RANGE, body: new Uint8Array(ranges.buffer) },
    ],
    IOMMU_INFO.size,
  );
  const needed = IOMMU_INFO.size + chain.length;
  const fits = argsz >= needed;
  if (fits && !bytesOut(call.memory, call.argument + BigInt(IOMMU_INFO.size), chain)) return -EFAULT;
  const values = {
    argsz: needed,
    flags: IOMMU_INFO_FLAGS.bits.PGSIZES | IOMMU_INFO_FLAGS.bits.CAPS,
    iova_pgsizes: ioas.table.pageSizes,
    cap_offset: fits ? IOMMU_INFO.size : 0,
  };
  return structOut(call, IOMMU_INFO, values, Math.min(argsz, IOMMU_INFO.size)) ? 0 : -EFAULT;
}

function mapDma(iommufd: Iommufd, call: Call): number {
  const size = endOf(DMA_MAP, 'size');
  const given = structIn(call, DMA_MAP, size);
  if (given === undefined) return -EFAULT;
  const { READ, WRITE } = DMA_MAP_FLAGS.bits;
  const { argsz, flags, vaddr, iova, size: length } = given;
  if (argsz < size || (flags & ~(READ | WRITE)) !== 0) return -EINVAL;
  const ioas = iommufd.compatIoas;
  if (ioas === undefined) return -ENODEV;
  const protection = ((flags & READ) !== 0 ? DMA_READ : 0) | ((flags & WRITE) !== 0 ? DMA_WRITE : 0);
  const accounting = call.process.capable('IPC_LOCK') ? 'none' : 'limited';
  const writable = (flags & WRITE) !== 0;
  const pages = { process: call.process, address: vaddr, length, writable, accounting } as const;
  const at = ioas.table.mapUser(pages, protection, iova);
  return at < 0n ? Number(at) : 0;
}

function unmapDma(iommufd: Iommufd, call: Call): number {
  const size = endOf(DMA_UNMAP, 'size');
  const given = structIn(call, DMA_UNMAP, size);
  if (given === undefined) return -EFAULT;
  const { ALL } = DMA_UNMAP_FLAGS.bits;
  const { argsz, flags, iova, size: length } = given;
  if (argsz < size || (flags & ~ALL) !== 0) return -EINVAL;
  const ioas = iommufd.compatIoas;
  if (ioas === undefined) return -ENODEV;
  const { table } = ioas;
  let outcome: { readonly result: number; readonly unmapped: bigint };
  if ((flags & ALL) !== 0) {
    if (iova !== 0n || length !== 0n) return -EINVAL;
    outcome = { result: 0, unmapped: table.unmapAll() };
  } else {
    if (table.largePagesDisabled) {
      const cut = table.cut(iova === 0n ? [iova + length - 1n] : [iova + length - 1n, iova - 1n]);
      if (cut !== 0) return cut;
    }
    outcome = table.unmap(iova, length);
  }
  return structOut(call, DMA_UNMAP, { ...given, size: outcome.unmapped }, size) ? outcome.result : -EFAULT;
}

const API_VERSION = 0;

const IOCTLS = handlers<[Iommufd, Call]>([...CONTAINER_IOCTLS, ...TYPE1_IOCTLS], {
  VFIO_GET_API_VERSION: () => API_VERSION,
  VFIO_CHECK_EXTENSION: (iommufd, call) => checkExtension(iommufd, numberArgument(call)),
  VFIO_SET_IOMMU: setIommu,
  VFIO_IOMMU_GET_INFO: getInfo,
  VFIO_IOMMU_MAP_DMA: mapDma,
  VFIO_IOMMU_UNMAP_DMA: unmapDma,
});
