// SPDX-License-Identifier: Apache-2.0
/** Virtual I/O Device 1.1, 4.1.4.3: the common configuration structure. */
import { AddressRegisters } from './address-registers.js';
import type { Controller } from './controller.js';

const WATCHED: ReadonlySet<string> = new Set([
  'device_status',
  'queue_select',
  'queue_desc',
  'queue_driver',
  'queue_device',
]);
const DRIVER_OK = 4n;

export function virtio(): Controller {
  const addresses = new AddressRegisters();
  let queue = 0n;
  let running: boolean | undefined;
  return {
    wants: (register) => WATCHED.has(register),
    access({ store, register: { name }, within, width, value }) {
      if (name === 'device_status') {
        const status = value & 0xffn;
        // Writing 0 resets the device (2.1.2); it is done when 0 is read (4.1.4.3.2).
        if (status === 0n) {
          if (store) {
            running = false;
            return { what: 'reset', register: name };
          }
          return { what: 'stopped', register: name };
        }
        const now = (status & DRIVER_OK) !== 0n;
        if (!store || now === (running ?? false)) return undefined;
        running = now;
        return { what: now ? 'enabled' : 'disabled', register: name };
      }
      if (!store) return undefined;
      if (name === 'queue_select') {
        queue = value;
        return undefined;
      }
      const stored = addresses.store(`${name}[${queue}]`, within, width, value);
      return { what: 'address', register: `${name}[${queue}]`, ...stored };
    },
  };
}
