// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { IOEVENTFD } from '../../../abi/vfio/device.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';
import { msixOf, overlaps } from './structures.js';

export const MSI_008: Rule = {
  id: 'MSI-008',
  title: 'An ioeventfd never stores into the MSI-X table',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: 'The kernel would do the store for whoever signals the eventfd, past the protection of the table: it answers EINVAL.',
  sources: ['vfio_pci_rdwr.c: vfio_pci_ioeventfd ("Disallow ioeventfds working around MSI-X table writes")'],
  decided: 'VFIO_DEVICE_IOEVENTFD with an offset and width that cover bytes of the table.',
  wrongWhen: 'Never, but for a test that asks.',
  compliant: 'Doorbells only.',
  watch: (check) => ({
    ioctl: {
      VFIO_DEVICE_IOEVENTFD: ({ device, before, event }) => {
        if (device === undefined) return;
        const { flags = 0, offset = 0n, fd = -1 } = decode(IOEVENTFD, before);
        const place = device.state.locate(offset);
        const table = msixOf(device.state.config)?.table;
        if (place === undefined || table === undefined || fd < 0) return;
        check.judged();
        if (place.index !== table.bar || !overlaps(table, Number(place.offset), flags & 0xf)) return;
        check.report({
          key: 'IOEVENTFD',
          device,
          message: `an ioeventfd for ${regionName(place.index)}+${hex(place.offset)}, in the MSI-X table`,
          evidence: [{ event: event.number, note: 'refused with EINVAL' }],
        });
      },
    },
  }),
};
