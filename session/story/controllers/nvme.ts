// SPDX-License-Identifier: Apache-2.0
/** NVM Express Base Specification 1.4, 3.1.5 to 3.1.9 and 7.6. */
import { AddressRegisters } from './address-registers.js';
import type { Controller } from './controller.js';

const WATCHED: ReadonlySet<string> = new Set(['CC', 'CSTS', 'AQA', 'ASQ', 'ACQ', 'NSSR']);
const SQ_ENTRY = 64;
const CQ_ENTRY = 16;

export function nvme(): Controller {
  const addresses = new AddressRegisters();
  let enabled: boolean | undefined;
  let attributes = 0;
  return {
    wants: (register) => WATCHED.has(register),
    access({ store, register: { name }, within, width, value }) {
      switch (name) {
        case 'CC': {
          if (within !== 0) return undefined;
          const enable = (value & 1n) === 1n;
          if (enable === enabled) return undefined;
          // Also by the first load: it shows how somebody else left it.
          enabled = enable;
          return { what: enable ? 'enabled' : 'disabled', register: name };
        }
        case 'CSTS':
          // CC.EN from 1 to 0 resets the controller; RDY says that it is done (3.1.6).
          return !store && within === 0 && enabled === false && (value & 1n) === 0n
            ? { what: 'stopped', register: name }
            : undefined;
        case 'NSSR':
          return store && value === 0x4e56_4d65n ? { what: 'reset', register: name } : undefined;
        case 'AQA':
          if (store && within === 0 && width >= 4) attributes = Number(value & 0xffff_ffffn);
          return undefined;
        case 'ASQ':
        case 'ACQ': {
          if (!store) return undefined;
          const { address, whole } = addresses.store(name, within, width, value);
          const entries = (name === 'ASQ' ? attributes : attributes >>> 16) & 0xfff;
          const bytes = (entries + 1) * (name === 'ASQ' ? SQ_ENTRY : CQ_ENTRY);
          return { what: 'address', register: name, address: address & ~0xfffn, bytes, whole };
        }
        default:
          return undefined;
      }
    },
  };
}
