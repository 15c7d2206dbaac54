// SPDX-License-Identifier: Apache-2.0

import { DMA_UNMAP_ALL, DMA_UNMAP_VADDR } from '../../../abi/vfio/type1.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { onUnmap } from './requests.js';

export const DMA_020: Rule = {
  id: 'DMA-020',
  title: 'Nobody unmaps everything in an address space that another running device shares',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  why: `All devices of a container share its IOVAs. UNMAP_DMA with ALL, as one driver's clean-up, takes away the queues of its neighbours, too.`,
  sources: [
    'linux/vfio.h: VFIO_DMA_UNMAP_FLAG_ALL',
    'Documentation/driver-api/vfio.rst (a container holds several groups)',
  ],
  decided: `UNMAP_DMA with ALL, or an IOAS_UNMAP of everything, while at least two devices of the address space were open with bus mastering on and their controllers not known to be disabled.`,
  wrongWhen: `One program that ends all of its devices, with bus mastering still on, and controllers of a class that is not known: it is DMA-002's matter rather.`,
  compliant: 'Unmap range by range what was mapped for this device; or a container of its own for each.',
  watch: (check) => ({
    ioctl: onUnmap(check.story, ({ space, flags, iova, size }, { ok, event }) => {
      const all =
        ((flags & DMA_UNMAP_ALL) !== 0 && (flags & DMA_UNMAP_VADDR) === 0) ||
        (space.ioas !== 0 && iova === 0n && size === (1n << 64n) - 1n);
      if (!all || !ok) return;
      check.judged();
      const isRunning = (device: DeviceLife): boolean =>
        device.busMaster && device.controllerEnabled !== false;
      const running = check.story.devicesIn(space).filter(isRunning);
      if (running.length < 2) return;
      check.report({
        key: 'everything',
        object: space.object,
        message: `everything was unmapped while ${running.length} devices of the address space were running`,
        evidence: [
          { event: event.number, note: 'everything goes' },
          ...running.flatMap(({ masterSince }) =>
            masterSince === undefined
              ? []
              : [{ event: masterSince.event, note: 'bus mastering of one of them' }],
          ),
        ],
      });
    }),
  }),
};
