// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { infoCapabilities } from '../../../abi/vfio/capability-chain.js';
import {
  REGION_CAP_SPARSE_MMAP,
  REGION_INFO,
  type SparseArea,
  sparseAreas,
} from '../../../abi/vfio/region-info.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

interface Areas {
  readonly event: number;
  readonly areas: readonly SparseArea[];
}

function isWithin(areas: readonly SparseArea[], start: bigint, length: bigint): boolean {
  const end = start + length;
  let at = start;
  for (const { offset, size } of [...areas].sort((a, b) => (a.offset < b.offset ? -1 : 1))) {
    if (offset > at) break;
    if (offset + size > at) at = offset + size;
  }
  return at >= end;
}

export const BAR_003: Rule = {
  id: 'BAR-003',
  title: 'A region with sparse areas is mapped in those areas only',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `A variant driver lists the areas that may be mapped because what lies between them must go through read and write: a
mapping of the whole region may succeed and go round that protection.`,
  sources: ['linux/vfio.h: VFIO_REGION_INFO_CAP_SPARSE_MMAP', 'cloud-hypervisor issue 4018'],
  decided:
    'GET_REGION_INFO answered a SPARSE_MMAP capability, and a mmap that succeeded covers bytes outside of its areas.',
  wrongWhen: 'The capability did not fit into the buffer that the driver gave: then the areas are not known.',
  compliant: 'Map each area by itself; use read and write on the descriptor between them.',
  watch: (check) => {
    const known = new Map<string, Areas>();
    return {
      ioctl: {
        VFIO_DEVICE_GET_REGION_INFO: ({ ok, object, after, event }) => {
          const { index, cap_offset = 0 } = decode(REGION_INFO, after);
          if (!ok || index === undefined || cap_offset === 0) return;
          const sparse = infoCapabilities(after, cap_offset).find(({ id }) => id === REGION_CAP_SPARSE_MMAP);
          if (sparse === undefined) return;
          known.set(`${object}/${index}`, { event: event.number, areas: sparseAreas(sparse.bytes) });
        },
      },
      on: {
        map: ({ ok, device, region, offset, length, event }) => {
          const found = known.get(`${device.id}/${region}`);
          if (!ok || found === undefined) return;
          check.judged();
          if (isWithin(found.areas, offset, length)) return;
          const name = regionName(region);
          check.report({
            key: name,
            device,
            message: `${hex(length)} bytes of ${name} from ${hex(offset)} on were mapped, more than its sparse areas`,
            evidence: [
              { event: event.number, note: 'the mapping' },
              { event: found.event, note: 'the areas that may be mapped' },
            ],
          });
        },
      },
    };
  },
};
