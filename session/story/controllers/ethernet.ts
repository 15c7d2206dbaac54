// SPDX-License-Identifier: Apache-2.0
/** Intel's e1000, e1000e and igb: CTRL.RST, RCTL.EN, TCTL.EN and the descriptor rings' base addresses. */
import { AddressRegisters } from './address-registers.js';
import type { Controller } from './controller.js';

const RING = /^([TR]D)(BAL|BAH|LEN)((?:\[\d+\])?)$/;
const RESET = 1n << 26n;
const ENABLE = 2n;

export function ethernet(): Controller {
  const addresses = new AddressRegisters();
  const lengths = new Map<string, number>();
  const directions = new Map<string, boolean>();
  let running: boolean | undefined;
  return {
    wants: (register) =>
      register === 'CTRL' || register === 'RCTL' || register === 'TCTL' || RING.test(register),
    access({ store, register: { name }, within, width, value }) {
      if (!store || within !== 0) return undefined;
      if (name === 'CTRL') {
        if ((value & RESET) === 0n) return undefined;
        directions.clear();
        running = false;
        return { what: 'reset', register: name };
      }
      if (name === 'RCTL' || name === 'TCTL') {
        directions.set(name, (value & ENABLE) !== 0n);
        const now = [...directions.values()].includes(true);
        if (now === running) return undefined;
        running = now;
        return { what: now ? 'enabled' : 'disabled', register: name };
      }
      const ring = RING.exec(name);
      if (ring === null) return undefined;
      const [, kind = '', part = '', queue = ''] = ring;
      const key = kind + queue;
      if (part === 'LEN') {
        lengths.set(key, Number(value & 0xffff_ffffn));
        return undefined;
      }
      const stored = addresses.store(key, part === 'BAH' ? 4 : 0, width, value);
      const bytes = lengths.get(key);
      return { what: 'address', register: name, ...stored, ...(bytes !== undefined && { bytes }) };
    },
  };
}
