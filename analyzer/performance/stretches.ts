// SPDX-License-Identifier: Apache-2.0
/**
 * Counting before phases are known. What an event was is told by what follows, but a phase begins only with an event that was looked
 * at when it came (session/phases/): between two such events everything is of one phase, whichever that turns out to be.
 */
import type { Phase, PhaseSpan } from '../../session/phases/phase.js';
import { PhaseCursor } from '../../session/phases/phase.js';
import { CellTable } from './cells.js';
import type { Cursor } from './group-state.js';

/** A stretch, and a device in it. */
export type Place = `${number} ${number}`;

/** Most sessions have a few dozen. Where there are more, counting once phases are known is less work than settling this. */
const STRETCHES_MAX = 512;

export class Stretches implements Cursor<Place> {
  /** First events, in order: of the second stretch and those after it. */
  readonly #from: number[] = [];
  #at = 0;

  /** Another stretch may begin with this event; no later than the event is asked for. */
  add(event: number): void {
    const at = this.#from.findLastIndex((from) => from <= event);
    if (this.#from[at] !== event) this.#from.splice(at + 1, 0, event);
  }

  get areTooMany(): boolean {
    return this.#from.length > STRETCHES_MAX;
  }

  get next(): number {
    return this.#from[this.#at] ?? Number.POSITIVE_INFINITY;
  }

  advance(event: number): void {
    while (event >= this.next) this.#at++;
  }

  of(device: number): Place {
    return `${this.#at} ${device}`;
  }

  /** The same counts by phase. */
  settle({ cells, counts }: CellTable<Place>, spans: readonly PhaseSpan[]): CellTable<Phase> {
    const settled = new CellTable();
    const cursor = new PhaseCursor(spans);
    // Cells were made in the order of events.
    cells.forEach(({ name, phase: place, thread, site, failed, latency }, n) => {
      const [stretch = 0, device = 0] = place.split(' ').map(Number);
      if (stretch > 0) cursor.advance(this.#from[stretch - 1] as number);
      const cell = settled.find(name, cursor.of(device), thread, site, failed);
      settled.counts[cell] = (settled.counts[cell] as number) + (counts[n] as number);
      if (latency !== undefined) settled.latency(cell).addAll(latency);
    });
    return settled;
  }
}
