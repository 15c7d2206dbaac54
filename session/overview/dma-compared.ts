// SPDX-License-Identifier: Apache-2.0
/** What comparing DMA-mapped memory came to (`--dma content` on hardware), and how sure it is. */
import { size } from '../../abi/text.js';
import type { EventBatch } from '../../traces/columns.js';
import { type DmaComparison, EventKind } from '../../traces/model.js';
import { durationText } from '../describe/time.js';

export interface DmaCompared extends DmaComparison {
  /** Changes of memory, in events, by who made them; `ambiguous` among them: it may have been the other. */
  readonly byDevice: { readonly changes: number; readonly ambiguous: number };
  readonly byDriver: { readonly changes: number; readonly ambiguous: number };
}

const WRITE = 1;
const FILL = 2;
const AMBIGUOUS = 2;

const WHY: Readonly<Record<string, string>> = {
  large: 'beyond what is compared in all',
  many: 'too many at once',
  unreadable: 'registers of a device, or no whole pages',
  gone: 'the driver took the memory away and left it mapped',
  'no-memory': 'no memory for a copy',
  indirect: 'mapped without an address of the process',
};

/** Counts changes, as batches with the columns kind and op pass. */
export class DmaTally {
  readonly #byDevice = { changes: 0, ambiguous: 0 };
  readonly #byDriver = { changes: 0, ambiguous: 0 };

  take({ kind, op, begin, end }: EventBatch): void {
    for (let row = begin; row < end; row++) {
      if (kind[row] !== EventKind.DMA) continue;
      const what = (op[row] as number) & 0xff;
      if (what !== WRITE && what !== FILL) continue;
      const count = what === WRITE ? this.#byDevice : this.#byDriver;
      count.changes++;
      if ((((op[row] as number) >>> 8) & 0xff) === AMBIGUOUS) count.ambiguous++;
    }
  }

  /** Undefined: nothing was compared. */
  result(comparison: DmaComparison | undefined): DmaCompared | undefined {
    if (comparison === undefined) return undefined;
    return { ...comparison, byDevice: this.#byDevice, byDriver: this.#byDriver };
  }
}

const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? '' : 's'}`;

export function dmaComparedText(compared: DmaCompared, durationNs: number): readonly string[] {
  const { comparisons, pages, ns, mapped, tracked, skipped, leftOut, bytesMost } = compared;
  const share = durationNs > 0 ? ` (${((100 * ns) / durationNs).toFixed(1)} % of the recording)` : '';
  const changes = ({ changes, ambiguous }: DmaCompared['byDevice'], who: string): string =>
    `  ${count(changes, 'change')} ${who}${ambiguous > 0 ? `, ${ambiguous} of them ambiguous` : ''}`;
  const told =
    tracked === mapped
      ? ''
      : `: for ${tracked === 0 ? 'none' : `${tracked} of them`} the kernel told which pages the driver wrote`;
  return [
    `  ${count(comparisons, 'comparison')}, ${count(pages, 'page')}, ${durationText(ns)} in all${share}`,
    `  ${count(mapped, 'mapping')} compared, at most ${size(BigInt(bytesMost))} at once${told}`,
    changes(compared.byDevice, 'by the device'),
    changes(compared.byDriver, 'by the driver'),
    ...(skipped > 0 ? [`  ${count(skipped, 'comparison')} could not be made`] : []),
    ...leftOut.map(
      ({ why, mappings, bytes }) =>
        `  ${count(mappings, 'mapping')} left out (${size(BigInt(bytes))}): ${WHY[why] ?? why}`,
    ),
  ];
}
