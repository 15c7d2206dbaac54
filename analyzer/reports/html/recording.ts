// SPDX-License-Identifier: Apache-2.0
/** What was recorded, in which way, and what was not. */
import { durationText } from '../../../session/describe/time.js';
import type { TraceReport } from '../model.js';
import { html, type Markup } from './markup.js';
import { list, table } from './table.js';

export function recording({ trace, profile }: TraceReport): Markup {
  return html`${
    trace.gaps.length === 0
      ? html`<p><span class="badge pass">complete</span> Nothing is missing that the recorder knows of.</p>`
      : html`<p><span class="badge warning">incomplete</span></p><ul>${trace.gaps.map((gap) => html`<li>${gap}</li>`)}</ul>`
  }
${list([
  ['File', html`<code>${trace.file}</code>`],
  ['Command', html`<code>${trace.command.join(' ')}</code>`],
  [
    'Recorded',
    `${dateText(trace.recorded_at_ns)}, for ${durationText(trace.duration_ns)}, by ${trace.recorder}`,
  ],
  ['Machine', machineText(trace)],
  ['VFIO', trace.backend === 'kernel' ? 'of the machine’s kernel' : trace.backend],
  ['Its interface', trace.dialect],
  ['Loads and stores', mmioText(trace.mmio)],
  ['Parts of BARs', trace.watch.length === 0 ? undefined : `only ${trace.watch.join(', ')}`],
  ['DMA memory', trace.dma === 'off' ? 'what the device wrote there was not recorded' : trace.dma],
  ['A full buffer', trace.when_full === 'block' ? 'lets the driver wait' : trace.when_full],
  ['Profile', profile],
])}
<h3>Events</h3>
${table({
  columns: [{ name: 'kind' }, { name: 'events', numeric: true }],
  rows: Object.entries(trace.events_by_kind)
    .sort(([, a], [, b]) => b - a)
    .map(([kind, count]) => [kind, count.toLocaleString('en-US')]),
})}
${sites(trace)}
<p class="muted small">System calls that bypass the C library are not seen. An interrupt is stamped when the driver wakes, not when the device
raised it; one that goes straight to KVM is not seen.</p>`;
}

/** Instructions that could not be patched are recorded all the same, at a price. */
function sites({ mmio_sites }: TraceReport['trace']): Markup | undefined {
  if (mmio_sites.length === 0) return undefined;
  return html`<h3>Instructions that touch mapped BARs</h3>
${table({
  columns: [
    { name: 'caught by' },
    { name: 'instructions', numeric: true },
    { name: 'why not patched' },
    { name: 'where' },
  ],
  rows: mmio_sites.map(({ how, reason, instructions, places }) => [
    how,
    instructions.toLocaleString('en-US'),
    reason,
    places.join(', ') + (reason !== '' && places.length < instructions ? ', …' : ''),
  ]),
})}`;
}

/** A generated trace has neither. */
function machineText({ host, kernel }: TraceReport['trace']): string {
  return [host, kernel === '' ? '' : `Linux ${kernel}`].filter((part) => part !== '').join(', ');
}

function mmioText(mode: string): string {
  switch (mode) {
    case 'patch':
      return 'recorded (patch)';
    case 'off':
      return 'not recorded (--mmio off): rules that need them say unknown';
    default:
      return mode;
  }
}

function dateText(ns: string): string {
  const time = new Date(Number(BigInt(ns) / 1_000_000n));
  return Number.isNaN(time.getTime()) || ns === '0'
    ? 'at a time not known'
    : `${time.toISOString().slice(0, 19)}Z`;
}
