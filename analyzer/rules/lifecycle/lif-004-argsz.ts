// SPDX-License-Identifier: Apache-2.0
import { findIoctl } from '../../../abi/ioctls.js';
import { decode, type Field } from '../../../abi/layout.js';
import { REGION_INFO } from '../../../abi/vfio/region-info.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

const EINVAL = 22;
const CAPS = 8;

export const LIF_004: Rule = {
  id: 'LIF-004',
  title: 'argsz is the size of the buffer, reserved fields are zero, and capabilities are fetched',
  severity: 'warning',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `Structures of VFIO grow: argsz says how much of it the caller has. Too small a value is EINVAL; one that is left uninitialized lets the kernel write past the buffer. Answers
that need more room say so by a larger argsz, and leave out what did not fit.`,
  sources: [
    'linux/vfio.h: "It\'s always the caller\'s responsibility to ensure that argsz is large enough"',
    'vfio.h: VFIO_REGION_INFO_FLAG_CAPS',
  ],
  decided: `An argsz below what the structure of the call needs, with EINVAL; a reserved field that is not zero; GET_REGION_INFO that said that there are capabilities (CAPS, no cap_offset)
and was never asked again with room for them, for a region that was mapped: a note.`,
  wrongWhen: 'The driver has no use for the capabilities.',
  compliant: 'argsz = sizeof the buffer, memset first; when it comes back larger, call again with so much.',
  watch: (check) => {
    const untold = new Map<
      string,
      { readonly event: number; readonly object: number; readonly index: number }
    >();
    return {
      on: {
        ioctl: ({ name, object, objectKind, event, before, after, ok, device }) => {
          const argument = findIoctl(objectKind, event.op)?.argument;
          if (argument?.kind !== 'struct' || before.length < 4) return;
          const { layout } = argument;
          if (!('argsz' in layout.fields)) return;
          check.judged();
          const held = decode(layout, before) as Readonly<Record<string, number | bigint | undefined>>;
          const argsz = Number(held['argsz'] ?? 0);
          const about = device === undefined ? { object } : { device };
          // A newer field of the structure may be left out: only a refused call was too small.
          if (!ok && event.errno === EINVAL && argsz < Math.min(layout.size, 16)) {
            check.report({
              key: `${name} argsz`,
              ...about,
              message: `${name} with argsz ${argsz}: the structure has ${layout.size} bytes`,
              evidence: [{ event: event.number, note: 'EINVAL' }],
            });
          }
          for (const [field, description] of Object.entries(layout.fields)) {
            const value = held[field];
            if ((description as Field).hidden !== true || !/reserved/.test(field)) continue;
            if (value === undefined || Number(value) === 0) continue;
            check.report({
              key: `${name} ${field}`,
              ...about,
              message: `${name}: ${field} is not zero`,
              evidence: [{ event: event.number, note: 'a later kernel may give it a meaning' }],
            });
          }
          if (name !== 'VFIO_DEVICE_GET_REGION_INFO' || !ok) return;
          const { flags = 0, cap_offset = 0, index = 0 } = decode(REGION_INFO, after);
          const key = `${object}/${index}`;
          if ((flags & CAPS) !== 0 && cap_offset === 0)
            untold.set(key, { event: event.number, object, index });
          else untold.delete(key);
        },
        map: ({ device, region, ok, event }) => {
          const found = untold.get(`${device.id}/${region}`);
          if (!ok || found === undefined) return;
          check.report({
            key: `capabilities of ${regionName(region)}`,
            device,
            severity: 'note',
            message: `${regionName(region)} was mapped, and its capabilities (sparse areas, MSIX_MAPPABLE) were never fetched`,
            evidence: [
              { event: event.number, note: 'mapped' },
              { event: found.event, note: 'CAPS, with no room for them' },
            ],
          });
        },
      },
    };
  },
};
