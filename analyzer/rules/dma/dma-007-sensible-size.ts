// SPDX-License-Identifier: Apache-2.0
import { size as sizeText } from '../../../abi/text.js';
import { durationText } from '../../../session/describe/time.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

const GIB = 1n << 30n;
const LARGE = 4n * GIB;
const SLOW_NS = 1e9;
const MANY = 4096;
const SMALL = 0x1_0000n;

export const DMA_007: Rule = {
  id: 'DMA-007',
  title: 'Mappings have a sensible size: not gigabytes in one slow call, not thousands of crumbs',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off', lyon2010: 'error' },
  kernel: 'allows',
  basis: 'proven',
  why: `Each page is pinned while the call lasts, and either all of it is mapped or nothing. A call for gigabytes of small pages takes seconds, in which nobody else can map; thousands of small mappings use up the
limit of 65535, and make each lookup longer. In 2010 the kernel refused more than 1 GiB at once.`,
  sources: [
    'vfio_iommu_type1.c: vfio_pin_map_dma, dma_entry_limit',
    'Lyon, June 2010: "If you map a 4G region, this will try to allocate 8Mbytes? Yes. … First of all, this will fail"; VFIO_MAX_MAP_SIZE',
  ],
  decided: `One call for 4 GiB or more that took longer than a second, or failed; 4096 live mappings of at most 64 KiB each in one address space. On the interface of 2010: one call for more than 1 GiB.`,
  wrongWhen: `Memory in huge pages is pinned quickly: such a call is no finding, whatever its size. QEMU maps a guest's whole memory at once (profile vmm: off).`,
  compliant: 'Huge pages, mapped once, in pieces of up to 1 GiB where they are cold.',
  watch: (check) => {
    const small = new Map<DmaSpace, number>();
    return {
      ioctl: onMap(check.story, ({ space, size }, { ok, event, device }) => {
        check.judged();
        if (device?.isLyon === true) {
          if (size <= GIB) return;
          check.report({
            key: 'more than 1 GiB',
            device,
            severity: 'error',
            message: `${sizeText(size)} in one call: the limit is 1 GiB (VFIO_MAX_MAP_SIZE)`,
            evidence: [{ event: event.number, note: 'the call' }],
          });
          return;
        }
        if (size < LARGE || (ok && event.duration < SLOW_NS)) return;
        check.report({
          key: ok ? 'slow' : 'failed',
          object: space.object,
          severity: 'note',
          message: `${sizeText(size)} in one call ${ok ? `took ${durationText(event.duration)}` : 'failed as a whole'}`,
          evidence: [{ event: event.number, note: 'the call' }],
        });
      }),
      on: {
        'dma-map': ({ space, mapping, event }) => {
          if (mapping.length > SMALL) return;
          const count = (small.get(space) ?? 0) + 1;
          small.set(space, count);
          if (count !== MANY) return;
          check.report({
            key: 'many small',
            object: space.object,
            severity: 'note',
            message: `${MANY} mappings of at most 64 KiB were live at once`,
            evidence: [{ event: event.number, note: 'the one that made it so many' }],
          });
        },
        'dma-unmap': ({ space, mappings }) => {
          const crumbs = mappings.filter(({ length }) => length <= SMALL).length;
          if (crumbs > 0) small.set(space, Math.max(0, (small.get(space) ?? 0) - crumbs));
        },
      },
    };
  },
};
