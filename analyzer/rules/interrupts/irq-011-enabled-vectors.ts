// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { MSIX, onSetIrqs } from './requests.js';

const NO_VECTOR = 0xffff;
const ENTRY_VALID = 8;

/** Which vectors a store to this register names; undefined for other registers. */
function vectorsOf(register: string, value: number): readonly number[] | undefined {
  // Virtual I/O Device 1.1 §4.1.5.1.2: 0xffff is none.
  if (register === 'msix_config' || register === 'queue_msix_vector') {
    const vector = value & NO_VECTOR;
    return vector === NO_VECTOR ? [] : [vector];
  }
  // 82574 datasheet §10.2.4.9: five entries of four bits, the uppermost says that the lower three are valid.
  if (register === 'IVAR')
    return [0, 4, 8, 12, 16].flatMap((shift) => {
      const entry = (value >>> shift) & 0xf;
      return (entry & ENTRY_VALID) === 0 ? [] : [entry & 7];
    });
  return undefined;
}

interface Named {
  readonly register: string;
  readonly vector: number;
  readonly event: number;
}

export const IRQ_011: Rule = {
  id: 'IRQ-011',
  title: 'The device signals no vector that is not enabled',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `An MSI-X vector without an eventfd stays masked in the table: what the device signals by it never arrives, and the queue stands still.`,
  sources: [
    'vfio_pci_intrs.c: vfio_msi_enable (vectors that were not asked for stay masked)',
    'Virtual I/O Device 1.1 §4.1.5.1.2',
    'Intel 82574 datasheet §10.2.4.9 (IVAR)',
  ],
  decided: `A vector that was stored to virtio's msix_config or queue_msix_vector, or to the 82574's IVAR, lies beyond all that were ever enabled by SET_IRQS until the device was reset or closed. Only where MSI-X was enabled at all.`,
  wrongWhen: `A queue that is polled may name any vector. NVMe names its vectors in commands (Create I/O Completion Queue, IV), in memory that was not recorded: not decided.`,
  compliant: 'Name vectors below the count of SET_IRQS; 0xffff for a virtio queue that is polled.',
  watch: (check) => {
    const named = new Map<DeviceLife, Map<string, Named>>();
    const enabled = new Map<DeviceLife, number>();
    const settle = (device: DeviceLife): void => {
      const held = named.get(device);
      named.delete(device);
      const end = enabled.get(device);
      if (held === undefined || end === undefined) return;
      check.judged();
      for (const [key, { register, vector, event }] of held) {
        if (vector < end) continue;
        check.report({
          key,
          device,
          message: `${register} names MSI-X vector ${vector}, and only ${end} ${end === 1 ? 'was' : 'were'} ever enabled`,
          evidence: [{ event, note: 'the device was told' }],
        });
      }
    };
    return {
      access: ({ device, direction, register, offset }) => {
        if (direction === 'load' || register === undefined || register.start !== offset) return undefined;
        const { name } = register;
        if (vectorsOf(name, NO_VECTOR) === undefined) return undefined;
        return (row) => {
          const held = named.get(device) ?? new Map<string, Named>();
          named.set(device, held);
          const highest = Math.max(-1, ...(vectorsOf(name, row.low) ?? []));
          // Queues share a register: which of them is meant is written elsewhere.
          if (highest >= 0)
            held.set(`${name} ${highest}`, { register: name, vector: highest, event: row.event });
        };
      },
      ioctl: onSetIrqs(({ device, index, start, count, enables }, { ok }) => {
        if (ok && enables && index === MSIX)
          enabled.set(device, Math.max(enabled.get(device) ?? 0, start + count));
      }),
      on: {
        controller: ({ device, what }) => {
          if (what === 'reset') settle(device);
        },
        ...onGone(check.story, settle),
      },
      end: () => {
        for (const device of [...named.keys()]) settle(device);
      },
    };
  },
};
