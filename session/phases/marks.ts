// SPDX-License-Identifier: Apache-2.0
/** What calls and accesses say of the phase. */
import { IRQ_SET_ACTION_TRIGGER } from '../../abi/vfio/irqs.js';
import { type ControllerNews, isDoorbell } from '../story/controllers/controller.js';
import type { Mark } from './set-up.js';

/** The admin queue's (NVMe 1.4 §3.1.16, §3.1.17). */
const ADMIN_DOORBELL = /^(SQ0T|CQ0H)DBL$/;
/** The end of a descriptor ring, which is set up with it before it is used. */
const RING_TAIL = /^[TR]DT(\[\d+\])?$/;
/** Interrupts of 2010's interface. */
const EVENTFDS = /^VFIO_EVENTFD/;

export const RESETS: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_RESET',
  'VFIO_DEVICE_PCI_HOT_RESET',
  'VFIO_RESET_FUNCTION',
]);

export function isRingTail(register: string): boolean {
  return RING_TAIL.test(register);
}

export function storeMark(register: string): Mark {
  if (!isDoorbell(register)) return 'access';
  return ADMIN_DOORBELL.test(register) ? 'admin' : 'work';
}

/** Of a call on the device, other than SET_IRQS. */
export function ioctlMark(name: string): Mark {
  if (RESETS.has(name)) return 'reset';
  return EVENTFDS.test(name) ? 'queues' : 'open';
}

/** Undefined: interrupts are only masked or unmasked. */
export function irqsMark(flags: number, count: number): Mark | undefined {
  if ((flags & IRQ_SET_ACTION_TRIGGER) === 0) return undefined;
  return count === 0 ? 'ending' : 'queues';
}

export function controllerMark({ what }: ControllerNews, reading: boolean): Mark {
  switch (what) {
    case 'enabled':
      // How somebody else left it.
      return reading ? 'access' : 'queues';
    case 'address':
      return 'queues';
    case 'disabled':
    case 'stopped':
    case 'reset':
      return 'reset';
  }
}
