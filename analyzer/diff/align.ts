// SPDX-License-Identifier: Apache-2.0
/**
 * Two sequences side by side, by their keys, in one pass and bounded memory: where they part, the nearest place is looked for from
 * which on they agree again.
 */
export interface Keyed {
  readonly key: string;
  readonly phase: string;
}

/** What is on one side only, or on both. */
export interface Pair<T> {
  readonly a: T | undefined;
  readonly b: T | undefined;
}

/** So far ahead agreement is looked for. */
const WINDOW = 2048;
/** So many in a row are agreement, and no accident. */
const AGREEMENT = 3;
/** Within what differs, products of lengths up to this are aligned exactly. */
const EXACT_CELLS = 1 << 16;
const END = '\0end';

class Side<T extends Keyed> {
  readonly #source: Iterator<T>;
  #held: T[] = [];
  #head = 0;
  #ended = false;

  constructor(source: Iterable<T>) {
    this.#source = source[Symbol.iterator]();
  }

  at(index: number): T | undefined {
    while (!this.#ended && this.#held.length - this.#head <= index) {
      const next = this.#source.next();
      if (next.done === true) this.#ended = true;
      else this.#held.push(next.value);
    }
    return this.#held[this.#head + index];
  }

  take(count: number): T[] {
    const taken = this.#held.slice(this.#head, this.#head + count);
    this.#head += count;
    if (this.#head > WINDOW) {
      this.#held = this.#held.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  /** The next one, when it is known to be there. */
  shift(): T {
    const item = this.#held[this.#head] as T;
    this.#head++;
    if (this.#head > WINDOW) {
      this.#held = this.#held.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** What comes from an index on, up to agreement's length. */
  run(index: number): string {
    let text = '';
    for (let n = index; n < index + AGREEMENT; n++) text += `${this.at(n)?.key ?? END}\n`;
    return text;
  }
}

export function* align<T extends Keyed>(
  first: Iterable<T>,
  second: Iterable<T>,
): Generator<Pair<T>, void, undefined> {
  const a = new Side(first);
  const b = new Side(second);
  for (;;) {
    const [one, other] = [a.at(0), b.at(0)];
    if (one === undefined && other === undefined) return;
    if (one !== undefined && one.key === other?.key) {
      yield { a: a.shift(), b: b.shift() };
      continue;
    }
    const [skipA, skipB] = nearestAgreement(a, b);
    yield* pairUp(a.take(skipA), b.take(skipB));
  }
}

/** How many of each side come before they agree again; when they don't, up to the next phase of either. */
function nearestAgreement<T extends Keyed>(a: Side<T>, b: Side<T>): readonly [number, number] {
  const runs = new Map<string, number>();
  let lengthB = 0;
  for (; lengthB < WINDOW && b.at(lengthB) !== undefined; lengthB++) {
    const run = b.run(lengthB);
    if (!runs.has(run)) runs.set(run, lengthB);
  }
  if (lengthB < WINDOW) runs.set(b.run(lengthB), lengthB);
  let best: readonly [number, number] | undefined;
  let lengthA = 0;
  for (; lengthA < WINDOW; lengthA++) {
    if (best !== undefined && lengthA >= best[0] + best[1]) break;
    const at = runs.get(a.run(lengthA));
    if (at !== undefined && (best === undefined || lengthA + at < best[0] + best[1])) best = [lengthA, at];
    if (a.at(lengthA) === undefined) break;
  }
  return best ?? [upToNextPhase(a), upToNextPhase(b)];
}

function upToNextPhase<T extends Keyed>(side: Side<T>): number {
  const phase = side.at(0)?.phase;
  let n = 0;
  while (n < WINDOW && side.at(n) !== undefined && side.at(n)?.phase === phase) n++;
  return n;
}

/** Within what differs some may be the same: the longest common subsequence, where it can be had. */
function* pairUp<T extends Keyed>(a: readonly T[], b: readonly T[]): Generator<Pair<T>, void, undefined> {
  const columns = b.length + 1;
  if (a.length === 0 || b.length === 0 || (a.length + 1) * columns > EXACT_CELLS) {
    for (const item of a) yield { a: item, b: undefined };
    for (const item of b) yield { a: undefined, b: item };
    return;
  }
  const longest = new Uint16Array((a.length + 1) * columns);
  const cell = (i: number, j: number) => longest[i * columns + j] as number;
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * columns + j] =
        a[i]?.key === b[j]?.key ? cell(i + 1, j + 1) + 1 : Math.max(cell(i + 1, j), cell(i, j + 1));
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i]?.key === b[j]?.key) yield { a: a[i++], b: b[j++] };
    else if (cell(i + 1, j) >= cell(i, j + 1)) yield { a: a[i++], b: undefined };
    else yield { a: undefined, b: b[j++] };
  }
  while (i < a.length) yield { a: a[i++], b: undefined };
  while (j < b.length) yield { a: undefined, b: b[j++] };
}
