// SPDX-License-Identifier: Apache-2.0

import { isVirtio } from '../../../abi/registers/virtio.js';
import { hex } from '../../../abi/text.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const FIRST_CAPABILITY = 0x40;
const VENDOR = 0x09;
const VENDOR_EXTENDED = 0x0b;
const DVSEC = 0x23;

/** Why the byte goes to the hardware as it is; undefined when it does not, or the space is not known there. */
function rawness({ state, definition }: DeviceLife, at: number): string | undefined {
  if (at < FIRST_CAPABILITY || state.config.capabilities.length === 0) return undefined;
  const placed = state.config.lookup(at);
  const owner = state.config.capabilities.find(({ id, extended, offset, name }) => {
    if (placed?.name.startsWith(`${name}.`) === true) return offset <= at;
    // Only its length says what belongs to it (PCIe 5.0 §7.9.4).
    return (
      !extended && id === VENDOR && at >= offset && at < offset + (state.config.read(offset + 2, 1) ?? 0)
    );
  });
  if (owner === undefined) return placed === undefined ? 'bytes of no capability' : undefined;
  const { id, extended } = owner;
  const { vendor = 0, device = 0, classCode = 0 } = definition ?? {};
  // Its PCI_CAP cfg_access is a window to the BARs (virtio 1.1 §4.1.4.9).
  if (!extended && id === VENDOR && isVirtio({ vendor, device, classCode })) return undefined;
  if (extended ? id === VENDOR_EXTENDED || id === DVSEC : id === VENDOR)
    return `the capability ${owner.name}`;
  return undefined;
}

export const CFG_004: Rule = {
  id: 'CFG-004',
  title: 'Raw configuration bytes are written only by who knows what they do',
  severity: 'note',
  profiles: { vmm: 'off', lyon2010: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  why: 'VFIO does not know the bytes between the capabilities, nor what is in a vendor-specific one: writes there reach the hardware unfiltered.',
  sources: ['vfio_pci_config.c: unassigned_perms, cap_perms[PCI_CAP_ID_VNDR] (vfio_raw_config_write)'],
  decided: 'A write to bytes of no capability, or to a vendor-specific one (also extended, and DVSEC).',
  wrongWhen:
    'Devices are made that way: mlx5 has a command interface there, be2net has registers. virtio’s window is not reported.',
  compliant: 'Nothing to do, if the datasheet says so.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, offset, bytes, event }) => {
        check.judged();
        for (let i = 0; i < bytes.length; i++) {
          const why = rawness(device, offset + i);
          if (why === undefined) continue;
          check.report({
            key: `config+${hex(offset)}`,
            device,
            message: `a write to config+${hex(offset)} went to the hardware as it was: ${why}`,
            evidence: [{ event: event.number, note: why }],
          });
          return;
        }
      },
    },
  }),
};
