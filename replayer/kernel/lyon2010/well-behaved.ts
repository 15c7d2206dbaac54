// SPDX-License-Identifier: Apache-2.0
/**
 * Which devices the VFIO of 2010 takes: those whose MSI-X registers lie "in nice page aligned areas". The others are
 * not "well-behaved", and refused.
 */
import type { PciDevice } from '../pci/pci-device.js';

const PAGE = 4096;
const ENTRY = 16;

/** Why the device is refused; undefined when it is not. */
export function whyNotWellBehaved({ fn }: PciDevice): string | undefined {
  const msix = fn.msixTable;
  if (msix === undefined) return undefined;
  const { bar, offset } = msix.table;
  const end = offset + msix.vectors * ENTRY;
  const where = `its MSI-X table (BAR${bar}+0x${offset.toString(16)}, ${msix.vectors} vectors)`;
  if (offset % PAGE !== 0) return `${where} does not begin at a page`;
  const pageEnd = Math.ceil(end / PAGE) * PAGE;
  // Pending bits behind the table are no registers that a driver would miss.
  if (fn.device.usesRegisters?.(bar, end, pageEnd) === true)
    return `${where} shares a page with other registers`;
  return undefined;
}
