// SPDX-License-Identifier: Apache-2.0
/**
 * ioctls of the original VFIO (Tom Lyon, 2010): /dev/vfioN. Two of the last version's numbers mean something else
 * today (0x3b6c, 0x3b6d), and the June 2010 posting (V2) had further calls under other numbers; what a number means
 * is therefore known from the descriptor, never from the number alone.
 */
import { type IoctlCall, ioctl, type Part, part } from '../ioctl.js';
import { readU32, s32, struct, u32, u64 } from '../layout.js';
import { flagTable } from '../names.js';
import { listText } from '../vfio/irqs.js';

export const LYON_DMA_FLAGS = flagTable('VFIO_FLAG_', { WRITE: 1 });

/** VFIO_MAX_MAP_SIZE: 1 GiB; more is mapped in pieces. */
export const LYON_MAP_SIZE_MAX = 1n << 30n;

/** V2 had `int rdwr` where `flags` is: same offset, same size of the structure, and 1 means the same. */
export const LYON_DMA_MAP = struct('vfio_dma_map', 32, {
  vaddr: u64(0, { pointer: true }),
  dmaaddr: u64(8, { direction: 'inout' }),
  size: u64(16, { size: true }),
  flags: u64(24, { flags: LYON_DMA_FLAGS }),
});

/** V2's VFIO_DMA_MASK took a pointer to the mask. */
export const LYON_DMA_MASK = struct('u64', 8, { mask: u64(0) });

/** A pointer to one descriptor; -1 detaches. */
export const LYON_FD = struct('int', 4, { fd: s32(0) });

/** In: the BAR, 6 for the ROM. Out, in the same word: its length, 0 when there is none. */
export const LYON_BAR_LEN = struct('u32', 4, { bar: u32(0, { direction: 'inout', silent: true }) });

/** The count that comes before the eventfds; 0 disables. _IOC_SIZE says 4, the array is 4 * (1 + count). */
export const LYON_EVENTFDS = struct('int', 4, { count: s32(0) });

/** The descriptors after the count, as far as they were recorded. */
export function lyonDescriptors(bytes: Uint8Array): readonly number[] {
  if (bytes.length < 4) return [];
  const count = readU32(bytes, 0) | 0;
  const held = Math.max(0, Math.min(count, Math.floor(bytes.length / 4) - 1));
  return Array.from({ length: held }, (_, i) => readU32(bytes, 4 + i * 4) | 0);
}

function descriptorParts(call: IoctlCall): readonly Part[] {
  if (call.before === undefined) return [];
  const fds = lyonDescriptors(call.before);
  return fds.length === 0 ? [] : [part('fds', listText(fds), fds)];
}

export const LYON_BAR_LEN_REQUEST = 0xc0043ba7;

/** The last version, November 2010 (V6). */
export const LYON_IOCTLS = [
  ioctl('VFIO_DMA_MAP_IOVA', 0xc0203b65, LYON_DMA_MAP),
  ioctl('VFIO_DMA_UNMAP', 0x40203b66, LYON_DMA_MAP),
  ioctl('VFIO_EVENTFD_IRQ', 0x40043b67, LYON_FD),
  ioctl('VFIO_EVENTFDS_MSI', 0x40043b68, LYON_EVENTFDS, { more: descriptorParts }),
  ioctl('VFIO_EVENTFDS_MSIX', 0x40043b69, LYON_EVENTFDS, { more: descriptorParts }),
  // 167 in the header where the neighbours' numbering asks for 106.
  ioctl('VFIO_BAR_LEN', LYON_BAR_LEN_REQUEST, LYON_BAR_LEN, {
    more: (call) => {
      const bar = call.before !== undefined && call.before.length >= 4 ? readU32(call.before, 0) : undefined;
      const length = call.after !== undefined && call.after.length >= 4 ? readU32(call.after, 0) : undefined;
      return [
        ...(bar === undefined ? [] : [part('bar', bar === 6 ? 'ROM' : `BAR${bar}`, bar)]),
        ...(length === undefined || call.errno !== 0
          ? []
          : [part('length', `0x${length.toString(16)}`, length, true)]),
      ];
    },
  }),
  ioctl('VFIO_DOMAIN_SET', 0x40043b6b, LYON_FD),
  ioctl('VFIO_DOMAIN_UNSET', 0x3b6c),
  ioctl('VFIO_IRQ_EOI', 0x3b6d),
  ioctl('VFIO_IRQ_EOI_EVENTFD', 0x40043b6e, LYON_FD),
] as const;

/**
 * The form of V2 (June 2010), where it differs and the number says so. VFIO_DMA_MASK and VFIO_EVENTFD_IRQ shared nothing
 * but the number 103: _IOC_SIZE tells 8 bytes from 4.
 */
export const LYON_V2_IOCTLS = [
  ioctl('VFIO_DMA_MAP_ANYWHERE', 0xc0203b64, LYON_DMA_MAP),
  ioctl('VFIO_DMA_MASK', 0x40083b67, LYON_DMA_MASK),
] as const;

/**
 * V2's VFIO_EVENTFD_MSI took one descriptor where VFIO_EVENTFDS_MSI takes a list; both are the number 104 with size 4.
 * It is meant on a kernel that answered one of V2's other calls.
 */
export const LYON_V2_EVENTFD_MSI = ioctl('VFIO_EVENTFD_MSI', 0x40043b68, LYON_FD);
