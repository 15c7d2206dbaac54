// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS (linux/vfio.h; kernel: vfio_set_irqs_validate_and_prepare). */
import { type IoctlCall, type Part, part } from '../ioctl.js';
import { decode, readU32, struct, u32 } from '../layout.js';
import { flagTable, nameOrNumber, valueTable } from '../names.js';
import { hexBytes } from '../text.js';

export const IRQ_INDEXES = valueTable('VFIO_PCI_', { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4 });

export function irqIndexName(index: number): string {
  return nameOrNumber(IRQ_INDEXES, index);
}

export const IRQ_INFO_FLAGS = flagTable('VFIO_IRQ_INFO_', {
  EVENTFD: 1,
  MASKABLE: 2,
  AUTOMASKED: 4,
  NORESIZE: 8,
});

export const IRQ_INFO = struct('vfio_irq_info', 16, {
  argsz: u32(0),
  flags: u32(4, { flags: IRQ_INFO_FLAGS, direction: 'out' }),
  index: u32(8, { values: IRQ_INDEXES }),
  count: u32(12, { direction: 'out' }),
});

export const IRQ_SET_FLAGS = flagTable('VFIO_IRQ_SET_', {
  DATA_NONE: 1,
  DATA_BOOL: 2,
  DATA_EVENTFD: 4,
  ACTION_MASK: 8,
  ACTION_UNMASK: 16,
  ACTION_TRIGGER: 32,
});
export const IRQ_SET_DATA_BOOL = 2;
export const IRQ_SET_DATA_EVENTFD = 4;
export const IRQ_SET_ACTION_UNMASK = 16;
export const IRQ_SET_ACTION_TRIGGER = 32;

export const IRQ_SET = struct('vfio_irq_set', 20, {
  argsz: u32(0),
  flags: u32(4, { flags: IRQ_SET_FLAGS }),
  index: u32(8, { values: IRQ_INDEXES }),
  start: u32(12),
  count: u32(16),
});

/** The eventfds of a SET_IRQS with DATA_EVENTFD, as far as they were recorded; -1 detaches. */
export function irqSetDescriptors(bytes: Uint8Array): readonly number[] {
  const { flags = 0, count = 0 } = decode(IRQ_SET, bytes);
  if ((flags & IRQ_SET_DATA_EVENTFD) === 0) return [];
  const held = Math.min(count, Math.floor((bytes.length - IRQ_SET.size) / 4));
  return Array.from({ length: held }, (_, i) => readU32(bytes, IRQ_SET.size + i * 4) | 0);
}

export function irqSetParts(call: IoctlCall): readonly Part[] {
  const bytes = call.before;
  if (bytes === undefined || bytes.length <= IRQ_SET.size) return [];
  const { flags = 0, count = 0 } = decode(IRQ_SET, bytes);
  if ((flags & IRQ_SET_DATA_EVENTFD) !== 0) {
    const fds = irqSetDescriptors(bytes);
    return [part('fds', listText(fds), fds)];
  }
  if ((flags & IRQ_SET_DATA_BOOL) !== 0) {
    const bools = Array.from(bytes.subarray(IRQ_SET.size, IRQ_SET.size + count));
    return [part('bools', listText(bools), bools)];
  }
  const rest = bytes.subarray(IRQ_SET.size);
  return [part('data', hexBytes(rest), hexBytes(rest, 4096))];
}

const LIST_SHOWN = 16;

/** 2048 vectors would make one line unreadable; the JSON form has them all. */
export function listText(numbers: readonly number[]): string {
  const shown = numbers.slice(0, LIST_SHOWN).join(',');
  return numbers.length > LIST_SHOWN ? `[${shown},…+${numbers.length - LIST_SHOWN}]` : `[${shown}]`;
}
