// SPDX-License-Identifier: Apache-2.0
/** What a replay did, compared, left out and found. */
import type { ObjectNames } from '../../session/object-names.js';
import type { Divergence, DivergenceKind, Omission } from './divergence.js';

const DIVERGENCES_KEPT = 1000;

export class Account {
  /** The event that is being reissued. */
  event = 0;
  /** Recorded events that were looked at. */
  events = 0;
  operations = 0;
  compared = 0;
  masked = 0;
  /** What there is to say of the present event; emptied by whoever shows it. */
  notes: string[] = [];
  readonly divergences: Divergence[] = [];
  readonly counts: Record<DivergenceKind, number> = {
    value: 0,
    field: 0,
    result: 0,
    errno: 0,
    interrupt: 0,
    fault: 0,
  };
  readonly #omissions = new Map<string, { count: number; readonly event: number }>();
  readonly #names: ObjectNames;
  readonly #from: number;

  /** `from`: what comes before this event is reissued and not compared. */
  constructor(names: ObjectNames, from: number) {
    this.#names = names;
    this.#from = from;
  }

  get found(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  get omissions(): readonly Omission[] {
    return [...this.#omissions].map(([reason, { count, event }]) => ({ reason, count, event }));
  }

  compare(): void {
    if (this.event >= this.#from) this.compared++;
  }

  /** Something that the driver did is not done here. */
  omit(reason: string): void {
    const known = this.#omissions.get(reason);
    if (known !== undefined) known.count++;
    else this.#omissions.set(reason, { count: 1, event: this.event });
    this.notes.push(`left out: ${reason}`);
  }

  diverge(
    kind: DivergenceKind,
    event: number,
    object: number,
    what: string,
    recorded: string,
    seen: string,
  ): void {
    if (event < this.#from) return;
    this.counts[kind]++;
    const when = event === this.event ? '' : ` (event ${event})`;
    this.notes.push(`${kind}: ${what}: recorded ${recorded}, seen ${seen}${when}`);
    if (this.divergences.length >= DIVERGENCES_KEPT) return;
    this.divergences.push({ kind, event, object: this.#names.name(object), what, recorded, seen });
  }
}
