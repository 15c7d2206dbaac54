// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { infoCapabilities } from '../../../abi/vfio/capability-chain.js';
import { REGION_CAP_MSIX_MAPPABLE, REGION_INFO } from '../../../abi/vfio/region-info.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';
import { msixOf, overlaps } from './structures.js';

const PROT_WRITE = 2;
const PAGE = 4096;

export const MSI_007: Rule = {
  id: 'MSI-007',
  title: 'The pages of the MSI-X table are mapped writable only where the kernel offers it',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note', lyon2010: 'error' },
  kernel: 'allows',
  basis: 'proven',
  why: `Before Linux 4.16 a mapping that covers the table was refused; since then the MSIX_MAPPABLE capability says that it is possible. A driver that maps the
whole BAR without looking fails on one kernel, and has the table within reach of a stray pointer on the other.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_mmap; msix_mmappable_cap',
    'Lyon 2010, Documentation/vfio.txt: "must not attempt to mmap or write the MSI-X vector area"',
  ],
  decided: `A mmap with PROT_WRITE that succeeded and covers the page of the table: a note where GET_REGION_INFO had answered MSIX_MAPPABLE, a warning where it had not,
or was not given room to.`,
  wrongWhen:
    'ixy, libvfn and QEMU’s NVMe driver map the whole BAR, and nothing is wrong with it today: that is why it is no error.',
  compliant: 'Look for MSIX_MAPPABLE; without it map round the table, as DPDK does.',
  watch: (check) => {
    const mappable = new Map<string, number>();
    return {
      ioctl: {
        VFIO_DEVICE_GET_REGION_INFO: ({ ok, object, after, event }) => {
          const { index, cap_offset = 0 } = decode(REGION_INFO, after);
          if (!ok || index === undefined || cap_offset === 0) return;
          if (infoCapabilities(after, cap_offset).some(({ id }) => id === REGION_CAP_MSIX_MAPPABLE))
            mappable.set(`${object}/${index}`, event.number);
        },
      },
      on: {
        map: ({ ok, device, region, offset, length, protection, event }) => {
          const table = msixOf(device.state.config)?.table;
          if (!ok || table === undefined || (protection & PROT_WRITE) === 0) return;
          check.judged();
          const pages = {
            start: table.start - (table.start % PAGE),
            end: Math.ceil(table.end / PAGE) * PAGE,
          };
          if (table.bar !== region || !overlaps(pages, Number(offset), Number(length))) return;
          const offered = mappable.get(`${device.id}/${region}`);
          const name = regionName(region);
          check.report({
            key: name,
            device,
            severity: device.isLyon ? 'error' : offered === undefined ? 'warning' : 'note',
            message: `${hex(length)} bytes of ${name} from ${hex(offset)} on were mapped writable, with the MSI-X table in it${offered === undefined ? '; MSIX_MAPPABLE was not seen' : ''}`,
            evidence: [
              { event: event.number, note: 'the mapping' },
              ...(offered === undefined
                ? []
                : [{ event: offered, note: 'MSIX_MAPPABLE: the kernel offers it' }]),
            ],
          });
        },
      },
    };
  },
};
