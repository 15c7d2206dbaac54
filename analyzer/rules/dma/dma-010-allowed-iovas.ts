// SPDX-License-Identifier: Apache-2.0
import { IOAS_IOVA_RANGES, IOVA_RANGE } from '../../../abi/iommufd/ioas.js';
import { decode, readU32, readU64 } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { infoCapabilities } from '../../../abi/vfio/capability-chain.js';
import { IOMMU_CAP_IOVA_RANGE, IOMMU_INFO } from '../../../abi/vfio/type1.js';
import { payloadOf } from '../../../session/payloads.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import { PayloadRole } from '../../../traces/model.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

interface Ranges {
  readonly event: number;
  readonly allowed: readonly { readonly start: bigint; readonly last: bigint }[];
}

/** The narrowest IOMMU that is common: Intel's of 39 bits in desktop processors. */
const NARROW = 1n << 39n;
const RANGE_HEADER = 16;

function ranges(bytes: Uint8Array, at: number, count: number): Ranges['allowed'] {
  const held = Math.min(count, Math.floor(Math.max(0, bytes.length - at) / IOVA_RANGE.size));
  return Array.from({ length: held }, (_, i) => ({
    start: readU64(bytes, at + i * 16),
    last: readU64(bytes, at + i * 16 + 8),
  }));
}

export const DMA_010: Rule = {
  id: 'DMA-010',
  title: 'IOVAs are chosen from the ranges that the IOMMU allows',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `Not each IOVA can be translated: IOMMUs have 39, 48 or 57 bits, and the window of message-signalled interrupts at 0xfee00000 is taken. Which ranges are left the kernel tells; an IOVA outside is refused. A driver
that takes the process's address for the IOVA works on the machine of its author.`,
  sources: [
    'vfio_iommu_type1.c: vfio_iommu_iova_dma_valid (EINVAL), VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE',
    'linux/iommufd.h: IOMMU_IOAS_IOVA_RANGES',
  ],
  decided: `A request to map at an IOVA that lies outside of the ranges that were told last: an error when it was refused. Ranges that were never asked for, and an IOVA above 39 bits: a note.`,
  wrongWhen: `The ranges shrink when another device is attached: who does not ask again is seen by the refusal only.`,
  compliant:
    'VFIO_IOMMU_GET_INFO with room for its capabilities (or IOMMU_IOAS_IOVA_RANGES), after the last device was attached.',
  watch: (check) => {
    const told = new Map<DmaSpace, Ranges>();
    return {
      ioctl: {
        VFIO_IOMMU_GET_INFO: ({ object, after, ok, event }) => {
          if (!ok) return;
          const first = decode(IOMMU_INFO, after).cap_offset ?? 0;
          const found = infoCapabilities(after, first).find(({ id }) => id === IOMMU_CAP_IOVA_RANGE);
          if (found === undefined || found.bytes.length < RANGE_HEADER) return;
          const allowed = ranges(found.bytes, RANGE_HEADER, readU32(found.bytes, 8));
          told.set(check.story.spaces.space(object, 0), { event: event.number, allowed });
        },
        IOMMU_IOAS_IOVA_RANGES: ({ object, after, ok, event }) => {
          const bytes = payloadOf(event, PayloadRole.POINTED_OUT);
          const { ioas_id, num_iovas = 0 } = decode(IOAS_IOVA_RANGES, after);
          if (!ok || bytes === undefined || ioas_id === undefined) return;
          const space = check.story.spaces.space(object, ioas_id);
          told.set(space, { event: event.number, allowed: ranges(bytes, 0, num_iovas) });
        },
        ...onMap(check.story, ({ space, iova, size, vaddr, fixed }, { ok, event, device }) => {
          // In 2010 there was nothing to ask.
          if (!fixed || size === 0n || device?.isLyon === true) return;
          check.judged();
          const known = told.get(space);
          const last = iova + size - 1n;
          if (known === undefined) {
            if (last < NARROW || !ok) return;
            check.report({
              key: 'never asked',
              object: space.object,
              severity: 'note',
              message: `IOVA ${hex(iova)}${iova === vaddr ? ', the address of the process,' : ''} has more than 39 bits, and what the IOMMU allows was never asked`,
              evidence: [{ event: event.number, note: 'mapped there' }],
            });
            return;
          }
          if (ok || known.allowed.some(({ start, last: end }) => iova >= start && last <= end)) return;
          check.report({
            key: 'outside',
            object: space.object,
            severity: 'error',
            message: `IOVA ${hex(iova)} to ${hex(last)} lies outside of what the IOMMU allows, and was refused`,
            evidence: [
              { event: event.number, note: 'refused' },
              { event: known.event, note: 'the ranges' },
            ],
          });
        }),
      },
    };
  },
};
