// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { ReportedDevice, ReportedFinding, ReportedStructure } from '../model.js';
import { html, type Markup } from './markup.js';
import { list } from './table.js';

const WELL_BEHAVED: Readonly<Record<ReportedDevice['well_behaved'], readonly [badge: string, text: string]>> =
  {
    yes: [
      'pass',
      'Its MSI-X table and PBA have pages of their own: a kernel can keep a driver from them by whole pages.',
    ],
    no: [
      'fail',
      'Other registers share a page with its MSI-X table or PBA: a kernel can not keep a driver from one and let it at the other.',
    ],
    'no MSI-X': ['quiet', 'It has no MSI-X table that would need protection.'],
    unknown: ['unknown', 'The recording does not tell.'],
  };

export function device(one: ReportedDevice, findings: readonly ReportedFinding[]): Markup {
  const digits = (value: number, width: number) => value.toString(16).padStart(width, '0');
  const [badge, text] = WELL_BEHAVED[one.well_behaved];
  const shared = findings.filter(({ rule, bdf }) => rule === 'MSI-006' && bdf === one.bdf);
  return html`<h3>${[one.object, one.bdf].filter((part) => part !== '').join(' ')}</h3>
<p>MSI-X layout well-behaved: <span class="badge ${badge}">${one.well_behaved}</span> ${text} ${shared.map(({ message }) => html`<br>${message}. `)}</p>
${list([
  ['Vendor and device', html`<code>${digits(one.vendor, 4)}:${digits(one.device, 4)}</code>`],
  ['Subsystem', html`<code>${digits(one.subsystem_vendor, 4)}:${digits(one.subsystem_device, 4)}</code>`],
  [
    'Class, revision',
    html`<code>${digits(one.class_code, 6)}</code> revision <code>${digits(one.revision, 2)}</code>`,
  ],
  ['Kernel driver', one.kernel_driver],
  ['IOMMU group', one.iommu_group],
  ['BARs', one.bars.map(({ name, size }) => `${name} ${size}`).join(', ')],
  ['MSI-X', one.msix === undefined ? undefined : `${one.msix.vectors} vectors`],
  ['MSI-X table', structure(one.msix?.table)],
  ['Pending bits (PBA)', structure(one.msix?.pba)],
  ['Can be reset by', one.reset_method === '' ? 'not known' : one.reset_method],
  ['Opened', one.opens === 1 ? 'once' : `${one.opens} times`],
  ['Was reset', one.resets.length === 0 ? 'not seen' : resetsText(one.resets)],
])}`;
}

function structure(one: ReportedStructure | undefined): string | undefined {
  if (one === undefined) return undefined;
  const aligned = one.page_aligned ? 'begins at a page' : 'does not begin at a page';
  return `${regionName(one.bar)}+${hex(one.offset)}, ${one.bytes} bytes, ${aligned}`;
}

/** `at open, controller (3 times)`. */
function resetsText(resets: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const how of resets) counts.set(how, (counts.get(how) ?? 0) + 1);
  return [...counts].map(([how, count]) => (count === 1 ? how : `${how} (${count} times)`)).join(', ');
}
