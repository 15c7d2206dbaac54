// SPDX-License-Identifier: Apache-2.0
/** The ioctls of an iommufd, 0x3b80 and up (drivers/iommu/iommufd/ioas.c, hw_pagetable.c, device.c, fault.c). */

import {
  DIRTY_TRACKING_FLAGS,
  FAULT_ALLOC,
  HW_INFO,
  HWPT_ALLOC,
  HWPT_DATA_TYPES,
  HWPT_GET_DIRTY_BITMAP,
  HWPT_INVALIDATE,
  HWPT_IOCTLS,
  HWPT_SET_DIRTY_TRACKING,
} from '../../../abi/iommufd/hwpt.js';
import {
  DESTROY,
  IOAS_ALLOC,
  IOAS_ALLOW_IOVAS,
  IOAS_COPY,
  IOAS_IOCTLS,
  IOAS_IOVA_RANGES,
  IOAS_MAP,
  IOAS_MAP_FLAGS,
  IOAS_UNMAP,
  IOVA_RANGE,
  OPTION,
  OPTION_OPERATIONS,
  OPTIONS,
  VFIO_IOAS,
  VFIO_IOAS_OPERATIONS,
} from '../../../abi/iommufd/ioas.js';
import type { Layout, Values } from '../../../abi/layout.js';
import { readU64 } from '../../../abi/layout.js';
import {
  EBUSY,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  ENOENT,
  ENOTTY,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '../errno.js';
import { DMA_READ, DMA_WRITE } from '../iommu/mappings.js';
import { LAST_ADDRESS, overlaps, type Range } from '../iommu/ranges.js';
import type { Call } from '../process.js';
import { handlers } from '../requests.js';
import { bytesIn, bytesOut, endOf } from '../user-memory.js';
import { FaultQueue, FaultQueueFile } from './fault-queue.js';
import { BoundDevice, commandIn, Hwpt, type Iommufd, respond } from './iommufd.js';
import { compatIoctl } from './vfio-compat.js';

const TYPE = 0x3b00;
const RANGES_MAX = 1 << 16;

type Command<L extends Layout> = (
  iommufd: Iommufd,
  values: Values<L>,
  answer: (values: Values<L>) => number,
  call: Call,
) => number;

/** The end of the reserved bytes behind out_max_pasid_log2. */
const HW_INFO_LEAST = 32;

/** `last`: the field up to which the kernel insists on the structure, or the number of bytes. */
function command<L extends Layout>(layout: L, last: (keyof L['fields'] & string) | number, run: Command<L>) {
  const least = typeof last === 'number' ? last : endOf(layout, last);
  return (iommufd: Iommufd, call: Call): number => {
    const taken = commandIn(call, layout, least);
    if (typeof taken === 'number') return taken;
    return run(iommufd, taken.values, (values) => respond(call, layout, values, taken.userSize), call);
  };
}

export function iommufdIoctl(iommufd: Iommufd, call: Call): number {
  const known = COMMANDS.get(call.request);
  if (known !== undefined) return known(iommufd, call);
  // Only the number chooses the command; its size is fetched before anybody looks at the rest (iommufd_fops_ioctl).
  if (!COMMANDS.has(TYPE | (call.request & 0xff))) return compatIoctl(iommufd, call);
  return call.memory.read(call.argument, new Uint8Array(4)) ? -ENOTTY : -EFAULT;
}

const { FIXED_IOVA, WRITEABLE, READABLE } = IOAS_MAP_FLAGS.bits;

function protectionOf(flags: number): number {
  return ((flags & READABLE) !== 0 ? DMA_READ : 0) | ((flags & WRITEABLE) !== 0 ? DMA_WRITE : 0);
}

const iovaRanges: Command<typeof IOAS_IOVA_RANGES> = (iommufd, values, answer, call) => {
  if (values.reserved !== 0) return -EOPNOTSUPP;
  const ioas = iommufd.ioas(values.ioas_id);
  if (ioas === undefined) return -ENOENT;
  const { usable, alignment } = ioas.table;
  const shown = usable.slice(0, values.num_iovas);
  const bytes = new Uint8Array(shown.length * IOVA_RANGE.size);
  const view = new DataView(bytes.buffer);
  shown.forEach(({ start, last }, i) => {
    view.setBigUint64(16 * i, start, true);
    view.setBigUint64(16 * i + 8, last, true);
  });
  if (!bytesOut(call.memory, values.allowed_iovas, bytes)) return -EFAULT;
  const answered = answer({ ...values, num_iovas: usable.length, out_iova_alignment: alignment });
  if (answered !== 0) return answered;
  return usable.length > values.num_iovas ? -EMSGSIZE : 0;
};

const allowIovas: Command<typeof IOAS_ALLOW_IOVAS> = (iommufd, values, _, call) => {
  if (values.reserved !== 0) return -EOPNOTSUPP;
  const ioas = iommufd.ioas(values.ioas_id);
  if (ioas === undefined) return -ENOENT;
  const ranges: Range[] = [];
  // Ranges must be disjoint and longer than a byte; nobody has this many, and each is compared with the others.
  for (let i = 0; i < Math.min(values.num_iovas, RANGES_MAX); i++) {
    const bytes = bytesIn(call.memory, values.allowed_iovas + BigInt(i * IOVA_RANGE.size), IOVA_RANGE.size);
    if (bytes === undefined) return -EFAULT;
    const range = { start: readU64(bytes, 0), last: readU64(bytes, 8) };
    if (range.start >= range.last || ranges.some((one) => overlaps(one, range))) return -EINVAL;
    ranges.push(range);
  }
  return ioas.table.allow(ranges);
};

const map: Command<typeof IOAS_MAP> = (iommufd, values, answer, call) => {
  const { flags, user_va, length, iova } = values;
  if ((flags & ~(FIXED_IOVA | WRITEABLE | READABLE)) !== 0 || values.reserved !== 0) return -EOPNOTSUPP;
  if (iova === LAST_ADDRESS || length === LAST_ADDRESS) return -EOVERFLOW;
  if ((flags & (WRITEABLE | READABLE)) === 0) return -EINVAL;
  const ioas = iommufd.ioas(values.ioas_id);
  if (ioas === undefined) return -ENOENT;
  const { process } = call;
  const accounting = process.capable('IPC_LOCK') ? 'none' : 'limited';
  const pages = {
    process,
    address: user_va,
    length,
    writable: (flags & WRITEABLE) !== 0,
    accounting,
  } as const;
  const at = ioas.table.mapUser(pages, protectionOf(flags), (flags & FIXED_IOVA) !== 0 ? iova : undefined);
  return at < 0n ? Number(at) : answer({ ...values, iova: at });
};

const copy: Command<typeof IOAS_COPY> = (iommufd, values, answer) => {
  const { flags, length, dst_iova, src_iova } = values;
  if ((flags & ~(FIXED_IOVA | WRITEABLE | READABLE)) !== 0) return -EOPNOTSUPP;
  if ([length, dst_iova, src_iova].includes(LAST_ADDRESS)) return -EOVERFLOW;
  if ((flags & (WRITEABLE | READABLE)) === 0) return -EINVAL;
  const source = iommufd.ioas(values.src_ioas_id);
  if (source === undefined) return -ENOENT;
  const pieces = source.table.piecesOf(src_iova, length);
  if (typeof pieces === 'number') return pieces;
  const target = iommufd.ioas(values.dst_ioas_id);
  if (target === undefined) return -ENOENT;
  const fixed = (flags & FIXED_IOVA) !== 0 ? dst_iova : undefined;
  const at = target.table.mapPieces(pieces, protectionOf(flags), fixed);
  return at < 0n ? Number(at) : answer({ ...values, dst_iova: at });
};

const unmap: Command<typeof IOAS_UNMAP> = (iommufd, values, answer) => {
  const ioas = iommufd.ioas(values.ioas_id);
  if (ioas === undefined) return -ENOENT;
  const { iova, length } = values;
  if (iova === 0n && length === LAST_ADDRESS) return answer({ ...values, length: ioas.table.unmapAll() });
  if (iova === LAST_ADDRESS || length === LAST_ADDRESS) return -EOVERFLOW;
  const { result, unmapped } = ioas.table.unmap(iova, length);
  if (result !== 0) return result;
  return unmapped === 0n ? -ENOENT : answer({ ...values, length: unmapped });
};

const option: Command<typeof OPTION> = (iommufd, values, _, call) => {
  if (values.reserved !== 0) return -EOPNOTSUPP;
  const { SET, GET } = OPTION_OPERATIONS.values;
  const { op, val64 } = values;
  if (op !== SET && op !== GET) {
    // The object is looked up before the operation is.
    if (values.option_id === OPTIONS.values.HUGE_PAGES && iommufd.ioas(values.object_id) === undefined)
      return -ENOENT;
    return -EOPNOTSUPP;
  }
  let value = val64;
  switch (values.option_id) {
    case OPTIONS.values.RLIMIT_MODE:
      if (values.object_id !== 0) return -EOPNOTSUPP;
      if (op === GET) {
        value = iommufd.rlimitByProcess ? 1n : 0n;
        break;
      }
      if (!call.process.capable('SYS_RESOURCE')) return -EPERM;
      if (!iommufd.objects.isEmpty) return -EBUSY;
      if (val64 > 1n) return -EINVAL;
      iommufd.rlimitByProcess = val64 === 1n;
      break;
    case OPTIONS.values.HUGE_PAGES: {
      const ioas = iommufd.ioas(values.object_id);
      if (ioas === undefined) return -ENOENT;
      if (op === GET) {
        value = ioas.table.largePagesDisabled ? 0n : 1n;
        break;
      }
      if (val64 > 1n) return -EINVAL;
      const result = ioas.table.setLargePages(val64 === 1n);
      if (result !== 0) return result;
      break;
    }
    default:
      return -EOPNOTSUPP;
  }
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytesOut(call.memory, call.argument + BigInt(OPTION.fields.val64.offset), bytes) ? 0 : -EFAULT;
};

const vfioIoas: Command<typeof VFIO_IOAS> = (iommufd, values, answer) => {
  if (values.reserved !== 0) return -EOPNOTSUPP;
  const { GET, SET, CLEAR } = VFIO_IOAS_OPERATIONS.values;
  switch (values.op) {
    case GET:
      return iommufd.compatIoas === undefined
        ? -ENODEV
        : answer({ ...values, ioas_id: iommufd.compatIoas.id });
    case SET: {
      const ioas = iommufd.ioas(values.ioas_id);
      if (ioas === undefined) return -ENOENT;
      iommufd.compatIoas = ioas;
      return 0;
    }
    case CLEAR:
      iommufd.compatIoas = undefined;
      return 0;
    default:
      return -EOPNOTSUPP;
  }
};

const hwptAlloc: Command<typeof HWPT_ALLOC> = (iommufd, values, answer) => {
  if (values.reserved !== 0) return -EOPNOTSUPP;
  const { flags, data_type, data_len } = values;
  if ((data_type === HWPT_DATA_TYPES.values.NONE) === (data_len !== 0)) return -EINVAL;
  const device = iommufd.objects.get(values.dev_id);
  if (!(device instanceof BoundDevice)) return -ENOENT;
  const target = iommufd.objects.get(values.pt_id);
  if (target === undefined) return -EINVAL;
  // No IOMMU here nests, or tracks what devices write.
  if (target instanceof Hwpt) return data_len === 0 || !device.hardware.userDomains ? -EOPNOTSUPP : -EINVAL;
  const ioas = iommufd.ioas(values.pt_id);
  if (ioas === undefined) return -EINVAL;
  if (flags !== 0 || data_len !== 0) return -EOPNOTSUPP;
  const hwpt = iommufd.allocateHwpt(ioas, device, false);
  if (typeof hwpt === 'number') return hwpt;
  const answered = answer({ ...values, out_hwpt_id: hwpt.id });
  if (answered !== 0) iommufd.destroy(hwpt.id);
  return answered;
};

const hwInfo: Command<typeof HW_INFO> = (iommufd, values, answer, call) => {
  if (values.flags !== 0) return -EOPNOTSUPP;
  const device = iommufd.objects.get(values.dev_id);
  if (!(device instanceof BoundDevice)) return -ENOENT;
  const { type, data } = device.hardware.info;
  // What is longer than the answer is cleared; a driver's buffer is small.
  const given = Math.min(values.data_len, 65536);
  const bytes = new Uint8Array(given);
  bytes.set(data.subarray(0, given));
  if (!bytesOut(call.memory, values.data_uptr, bytes)) return -EFAULT;
  return answer({
    ...values,
    data_len: data.length,
    out_data_type: type,
    out_capabilities: 0n,
    out_max_pasid_log2: 0,
  });
};

const invalidate: Command<typeof HWPT_INVALIDATE> = (_, values, answer) => {
  const { entry_num, entry_len, data_uptr } = values;
  const bad =
    entry_num !== 0 && (data_uptr === 0n || entry_len === 0 || entry_len > 4096 || entry_num > 1 << 19);
  const result = values.reserved !== 0 ? -EOPNOTSUPP : bad ? -EINVAL : -ENOENT;
  return answer({ ...values, entry_num: 0 }) === 0 ? result : -EFAULT;
};

const setDirtyTracking: Command<typeof HWPT_SET_DIRTY_TRACKING> = (iommufd, { flags, hwpt_id }) => {
  if ((flags & ~DIRTY_TRACKING_FLAGS.bits.ENABLE) !== 0) return -EOPNOTSUPP;
  return iommufd.objects.get(hwpt_id) instanceof Hwpt ? -EOPNOTSUPP : -ENOENT;
};

const getDirtyBitmap: Command<typeof HWPT_GET_DIRTY_BITMAP> = (iommufd, values) => {
  if ((values.flags & ~1) !== 0 || values.reserved !== 0) return -EOPNOTSUPP;
  const hwpt = iommufd.objects.get(values.hwpt_id);
  if (!(hwpt instanceof Hwpt)) return -ENOENT;
  const { iova, length, page_size } = values;
  if (length === 0n) return -EINVAL;
  const last = iova + length - 1n;
  if (last > LAST_ADDRESS) return -EOVERFLOW;
  const misaligned = (unit: bigint) => ((iova | (last + 1n)) & (unit - 1n)) !== 0n;
  if (misaligned(hwpt.ioas.table.alignment) || page_size === 0n || misaligned(page_size)) return -EINVAL;
  return -EOPNOTSUPP;
};

const faultAlloc: Command<typeof FAULT_ALLOC> = (iommufd, values, answer, call) => {
  if (values.flags !== 0) return -EOPNOTSUPP;
  const queue = iommufd.objects.add(new FaultQueue());
  const file = new FaultQueueFile(iommufd, queue);
  const fd = call.process.install(file);
  const result = fd < 0 ? fd : answer({ ...values, out_fault_id: queue.id, out_fault_fd: fd });
  if (result === 0) return 0;
  file.drop();
  iommufd.destroy(queue.id);
  return result;
};

const COMMANDS = handlers<[Iommufd, Call]>([...IOAS_IOCTLS, ...HWPT_IOCTLS], {
  IOMMU_DESTROY: command(DESTROY, 'id', (iommufd, { id }) => iommufd.destroy(id)),
  IOMMU_IOAS_ALLOC: command(IOAS_ALLOC, 'out_ioas_id', (iommufd, values, answer) => {
    if (values.flags !== 0) return -EOPNOTSUPP;
    const ioas = iommufd.allocateIoas();
    const answered = answer({ ...values, out_ioas_id: ioas.id });
    if (answered !== 0) iommufd.destroy(ioas.id);
    return answered;
  }),
  IOMMU_IOAS_ALLOW_IOVAS: command(IOAS_ALLOW_IOVAS, 'allowed_iovas', allowIovas),
  IOMMU_IOAS_COPY: command(IOAS_COPY, 'src_iova', copy),
  IOMMU_IOAS_IOVA_RANGES: command(IOAS_IOVA_RANGES, 'out_iova_alignment', iovaRanges),
  IOMMU_IOAS_MAP: command(IOAS_MAP, 'iova', map),
  IOMMU_IOAS_UNMAP: command(IOAS_UNMAP, 'length', unmap),
  IOMMU_OPTION: command(OPTION, 'val64', option),
  IOMMU_VFIO_IOAS: command(VFIO_IOAS, 'reserved', vfioIoas),
  IOMMU_HWPT_ALLOC: command(HWPT_ALLOC, 'reserved', hwptAlloc),
  IOMMU_GET_HW_INFO: command(HW_INFO, HW_INFO_LEAST, hwInfo),
  IOMMU_HWPT_SET_DIRTY_TRACKING: command(HWPT_SET_DIRTY_TRACKING, 'reserved', setDirtyTracking),
  IOMMU_HWPT_GET_DIRTY_BITMAP: command(HWPT_GET_DIRTY_BITMAP, 'data', getDirtyBitmap),
  IOMMU_HWPT_INVALIDATE: command(HWPT_INVALIDATE, 'reserved', invalidate),
  IOMMU_FAULT_QUEUE_ALLOC: command(FAULT_ALLOC, 'out_fault_fd', faultAlloc),
});
