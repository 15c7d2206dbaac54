// SPDX-License-Identifier: Apache-2.0
import {
  LYON_BASIC,
  LYON_READ_ONLY,
  lyonExtendedPermissions,
  lyonStandardPermissions,
} from '../../../abi/lyon2010/permissions.js';
import {
  BASIC,
  extendedPermissions,
  type Permissions,
  standardPermissions,
} from '../../../abi/pci/vfio-permissions.js';
import { hex } from '../../../abi/text.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const HEADER_BYTES = 64;
const MSI = 0x05;
const MSIX = 0x11;
const VENDOR = 0x09;
const EXPRESS = 0x10;
const DEVCTL = 8;
/** Max_Payload_Size is virtual: the link has one value for all. */
const PAYLOAD = 0xe0;
/** CFG-001, CFG-002 and CFG-008 speak of these. */
const OTHERS: readonly (readonly [number, number])[] = [
  [0x00, 0x04],
  [0x0c, 0x0e],
  [0x10, 0x28],
  [0x30, 0x34],
  [0x3c, 0x3e],
];

/** Capability, offset in it, bits: VFIO does itself what they ask for (vfio_pm_config_write, vfio_exp_config_write, vfio_af_config_write). */
const ACTED_ON: readonly (readonly [capability: number, offset: number, bits: number])[] = [
  [0x01, 4, 0x03],
  [EXPRESS, DEVCTL + 1, 0x80],
  [0x13, 4, 0x01],
];

interface Owner {
  /** Its id; undefined for an extended one, and for the header. */
  readonly capability: number | undefined;
  readonly permissions: Permissions;
  readonly start: number;
  readonly express: boolean;
}

/** Whose byte it is; undefined for what is raw, or another rule's. */
function ownerOf({ state: { config }, isLyon }: DeviceLife, at: number): Owner | undefined {
  if (at < HEADER_BYTES) {
    if (OTHERS.some(([from, to]) => at >= from && at < to)) return undefined;
    const permissions = isLyon ? LYON_BASIC : BASIC;
    return { capability: undefined, permissions, start: 0, express: false };
  }
  const placed = config.lookup(at);
  if (placed === undefined) {
    // In 2010 nothing was raw: what no capability owns, and what a vendor's holds, could not be written.
    if (!isLyon || config.capabilities.length === 0) return undefined;
    return { capability: undefined, permissions: LYON_READ_ONLY, start: at, express: false };
  }
  const capability = config.capabilities
    .filter(({ offset }) => offset <= at)
    .reduce<(typeof config.capabilities)[number] | undefined>(
      (best, one) => (best === undefined || one.offset > best.offset ? one : best),
      undefined,
    );
  if (capability === undefined) return undefined;
  const { id, extended, offset: start } = capability;
  if (!extended && (id === MSI || id === MSIX)) return undefined;
  // Nor was anything done in the driver's stead.
  if (isLyon) {
    const permissions = extended ? lyonExtendedPermissions(id) : lyonStandardPermissions(id);
    return { capability: undefined, permissions, start, express: false };
  }
  if (!extended && id === VENDOR) return undefined;
  const permissions = extended ? extendedPermissions(id) : standardPermissions(id);
  return permissions.write === 'raw'
    ? undefined
    : { capability: extended ? undefined : id, permissions, start, express: !extended && id === EXPRESS };
}

/** Bits that the device will not see. */
function dropped({ permissions, start, express, capability }: Owner, at: number): number {
  const writable = permissions.write === 'none' ? 0 : (permissions.writable[at - start] ?? 0);
  const payload = express && at - start === DEVCTL ? PAYLOAD : 0;
  const acted = ACTED_ON.find(([id, offset]) => id === capability && offset === at - start)?.[2] ?? 0;
  return ((~writable & 0xff) | payload) & ~acted;
}

export const CFG_003: Rule = {
  id: 'CFG-003',
  title: 'Nothing depends on a write that VFIO drops or keeps to itself',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'alters',
  basis: 'inferred',
  why: `Writes to configuration space succeed even where VFIO drops them: Status is read-only, the payload size is virtual, ARI, phantom functions and
most of the extended capabilities can't be changed. A driver that sets its DMA engine by what it wrote, and not by what it reads back, sets
it wrong.`,
  sources: [
    'vfio_pci_config.c: init_pci_cap_*_perm, vfio_default_config_write',
    'Lyon, June 2010: "fake registers which do not affect the real registers"',
  ],
  decided: `A write changes bits, compared with what was last read there, that VFIO does not pass on. A warning when the driver never reads the register
again, a note when it does. BARs, ids, MSI and the interrupt line have rules of their own.`,
  wrongWhen: 'The driver writes out of habit and does not care.',
  compliant: 'Write only what is the driver’s to change, and read it back.',
  watch: (check) => {
    interface Pending {
      readonly event: number;
      readonly name: string;
      readonly bits: number;
      checked: boolean;
    }
    const pending = new Map<DeviceLife, Map<string, Pending>>();
    return {
      on: {
        'config-write': ({ device, offset, bytes, held, event }) => {
          const { config } = device.state;
          for (let i = 0; i < bytes.length; i++) {
            const owner = ownerOf(device, offset + i);
            if (owner === undefined) continue;
            check.judged();
            const was = held[i];
            if (was === undefined) continue;
            const bits = (was ^ (bytes[i] as number)) & dropped(owner, offset + i);
            if (bits === 0) continue;
            const placed = config.lookup(offset + i);
            const name = placed?.name ?? `config+${hex(offset + i)}`;
            const of = pending.get(device) ?? new Map<string, Pending>();
            pending.set(device, of);
            const shift = 8 * (offset + i - (placed?.start ?? offset + i));
            const before = of.get(name);
            of.set(name, {
              event: before?.event ?? event.number,
              name,
              bits: ((before?.bits ?? 0) | (bits << shift)) >>> 0,
              checked: before?.checked ?? false,
            });
          }
        },
        'config-read': ({ device, offset, bytes }) => {
          const of = pending.get(device);
          if (of === undefined) return;
          for (let i = 0; i < bytes.length; i++) {
            const found = of.get(device.state.config.lookup(offset + i)?.name ?? '');
            if (found !== undefined) found.checked = true;
          }
        },
      },
      end: () => {
        for (const [device, of] of pending) {
          for (const { event, name, bits, checked } of of.values()) {
            check.report({
              key: `${name} ${hex(bits)}`,
              device,
              severity: checked ? 'note' : 'warning',
              message: `bits ${hex(bits)} of ${name} were written and do not reach the device${checked ? '' : ', and were never read back'}`,
              evidence: [{ event, note: 'the write' }],
            });
          }
        }
      },
    };
  },
};
