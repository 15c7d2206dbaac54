// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const IORESOURCE_IO = 0x100n;
const EIO = 5;

/** A virtual function decodes memory whatever its Command register says (SR-IOV 1.1 §3.4.1.3). */
function isVirtualFunction({ definition }: DeviceLife): boolean {
  const config = definition?.config;
  return config !== undefined && config.length >= 2 && config[0] === 0xff && config[1] === 0xff;
}

function isIo({ definition }: DeviceLife, region: number): boolean {
  const resource = definition?.resources.find(({ index }) => index === region);
  return resource !== undefined && (resource.flags & IORESOURCE_IO) !== 0n;
}

export const CFG_007: Rule = {
  id: 'CFG-007',
  title: 'BARs are accessed only while Memory Space Enable is set',
  severity: 'error',
  profiles: { vmm: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: 'With memory decoding off a load or store to a mapped BAR is a SIGBUS, and a read or write through the descriptor fails with EIO.',
  sources: [
    'vfio_pci_config.c: __vfio_pci_memory_enabled',
    'vfio_pci_core.c: vfio_pci_mmap_fault',
    'PCIe 5.0 §7.5.1.1.3',
  ],
  decided:
    'A load, store, read or write of a memory BAR while the Command register, as last read or written, has the bit clear.',
  wrongWhen: 'Virtual functions and I/O BARs are left out: the bit does not rule them.',
  compliant: 'Set Memory Space Enable again before the registers are used.',
  watch: (check) => {
    const report = (
      device: DeviceLife,
      event: number,
      region: number,
      offset: number,
      what: string,
    ): void => {
      check.report({
        key: `${what} ${regionName(region)}`,
        device,
        message: `a ${what} at ${regionName(region)}+${hex(offset)} while memory decoding was off`,
        evidence: [{ event, note: 'memory decoding was off' }],
      });
    };
    const isOff = (device: DeviceLife, region: number): boolean =>
      region < 6 && !device.memory && !isVirtualFunction(device) && !isIo(device, region);
    return {
      access: ({ device, region, offset, direction }) => {
        check.judged();
        if (!isOff(device, region)) return undefined;
        return (row) => report(device, row.event, region, offset, direction);
      },
      on: {
        'region-read': ({ device, region, offset, event }) => {
          check.judged();
          if (event.errno === EIO && isOff(device, region))
            report(device, event.number, region, offset, 'read');
        },
        'region-write': ({ device, region, offset, event }) => {
          check.judged();
          if (event.errno === EIO && isOff(device, region))
            report(device, event.number, region, offset, 'write');
        },
      },
    };
  },
};
