// SPDX-License-Identifier: Apache-2.0
/** The MSI-X table and its pending bits, where the capability says they are (PCI Express Base 5.0, 7.7.2.5 to 7.7.2.6). */
import type { ConfigSpace } from '../pci/config-space.js';
import { register } from '../register.js';
import type { RegisterBlock } from './map.js';

const MSIX = 0x11;
const ENTRY_BYTES = 16;

const entry = [
  register('MSIXTable[{n}].Address', 0x0, 4),
  register('MSIXTable[{n}].AddressHigh', 0x4, 4),
  register('MSIXTable[{n}].Data', 0x8, 4),
  register('MSIXTable[{n}].Control', 0xc, 4, { fields: { MASK: 0 } }),
];
const pending = [register('MSIXPBA[{n}]', 0, 8)];

export function msixBlocks(config: ConfigSpace): readonly RegisterBlock[] {
  const at = config.capability(MSIX)?.offset;
  if (at === undefined) return [];
  const control = config.read(at + 2, 2);
  const table = config.read(at + 4, 4);
  const pba = config.read(at + 8, 4);
  const blocks: RegisterBlock[] = [];
  if (control === undefined) return blocks;
  const entries = (control & 0x7ff) + 1;
  const place = (value: number) => ({ region: value & 7, base: (value & ~7) >>> 0, registers: [] });
  if (table !== undefined) {
    blocks.push({
      ...place(table),
      arrays: [{ offset: 0, stride: ENTRY_BYTES, count: entries, registers: entry }],
    });
  }
  if (pba !== undefined) {
    blocks.push({
      ...place(pba),
      arrays: [{ offset: 0, stride: 8, count: Math.ceil(entries / 64), registers: pending }],
    });
  }
  return blocks;
}
