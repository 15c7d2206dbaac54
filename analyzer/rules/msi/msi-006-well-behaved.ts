// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { type MsixStructures, msixOf, overlaps } from './structures.js';

const PAGE = 4096;

function pages({ start, end }: { readonly start: number; readonly end: number }) {
  return { start: start - (start % PAGE), end: Math.ceil(end / PAGE) * PAGE };
}

function isStructure({ table, pba }: MsixStructures, region: number, offset: number, width: number): boolean {
  return [table, pba].some((one) => one.bar === region && overlaps(one, offset, width));
}

function sharesPage({ table, pba }: MsixStructures, region: number, offset: number, width: number): boolean {
  return [table, pba].some((one) => one.bar === region && overlaps(pages(one), offset, width));
}

export const MSI_006: Rule = {
  id: 'MSI-006',
  title: 'The device is well-behaved: its MSI-X table and PBA have pages of their own',
  severity: 'note',
  kernel: 'allows',
  basis: 'inferred',
  why: `A kernel can keep a driver from the table only by whole pages. Where other registers share a page with it, either the driver can reach the table, or it can
not reach its registers. This says something of the device, and not of the driver.`,
  sources: [
    'PCIe 5.0 §7.7.2 (4 KiB aligned, 8 KiB recommended)',
    'Lyon, June 2010: without "nice page aligned areas" it is not "well-behaved" and "S.O.L."',
  ],
  decided: `From the Table and PBA registers: a load, store or known register in one of their pages that belongs to neither, or a BAR that is no whole number
of pages. With pages of 4 KiB.`,
  wrongWhen: 'A register that the driver never uses and no map knows is not seen.',
  compliant: 'Nothing that a driver could do: map round the table.',
  watch: (check) => {
    const shape = (device: DeviceLife): void => {
      const msix = msixOf(device.state.config);
      if (msix === undefined) return;
      check.judged();
      for (const bar of new Set([msix.table.bar, msix.pba.bar])) {
        const size = device.state.regions.get(bar)?.size;
        if (size === undefined || size === 0n || size % BigInt(PAGE) === 0n) continue;
        check.report({
          key: `${regionName(bar)} size`,
          device,
          message: `${regionName(bar)}, which has the MSI-X table or PBA, is ${hex(size)} bytes: no whole pages`,
          evidence: [{ event: device.opened.event, note: 'the device' }],
        });
      }
    };
    return {
      access: ({ device, region, offset, width, register }) => {
        const msix = msixOf(device.state.config);
        if (msix === undefined) return undefined;
        check.judged();
        if (!sharesPage(msix, region, offset, width) || isStructure(msix, region, offset, width))
          return undefined;
        return (row) => {
          check.report({
            key: `${regionName(region)} ${register?.name.replace(/\d+/g, 'n') ?? 'a register'}`,
            device,
            message: `${register?.name ?? 'a register'} at ${regionName(region)}+${hex(offset)} shares a page with the MSI-X table or PBA`,
            evidence: [{ event: row.event, note: 'an access to that page' }],
          });
        };
      },
      end: () => {
        for (const device of check.story.devices.values()) shape(device);
      },
    };
  },
};
