// SPDX-License-Identifier: Apache-2.0
/**
 * Threads take their turns otherwise each time. What is missing on one side and comes on the other, before or after things that
 * other threads did and none that its own did, is the same thing.
 */
import type { Pair } from './align.js';

export interface Turn {
  readonly key: string;
  readonly thread: number;
}

/** So many pairs later what is missing is taken for missing. */
const WINDOW = 4096;

interface Waiting<T extends Turn> {
  pair: Pair<T>;
  /** How many pairs came before it. */
  readonly at: number;
  readonly side: Side<T>;
  /** Nothing that its own thread does later on has been found on the other side. */
  open: boolean;
}

class Side<T extends Turn> {
  /** When each thread was last seen doing what both sides have. */
  readonly last = new Map<number, number>();
  readonly #byKey = new Map<string, Waiting<T>[]>();
  readonly #byThread = new Map<number, Waiting<T>[]>();

  /** The first of them that its own thread did not go on after. */
  find(key: string): Waiting<T> | undefined {
    return firstOpen(this.#byKey, key);
  }

  wait({ key, thread }: T, entry: Waiting<T>): void {
    push(this.#byKey, key, entry);
    push(this.#byThread, thread, entry);
  }

  /** It was found: what its thread did before can't be met any more. */
  close(thread: number, found: Waiting<T>): void {
    for (;;) {
      const first = firstOpen(this.#byThread, thread);
      if (first === undefined || first.at > found.at) return;
      first.open = false;
    }
  }

  /** It is closed, and so are all before it. */
  forget({ key, thread }: T): void {
    firstOpen(this.#byKey, key);
    firstOpen(this.#byThread, thread);
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Those before it are let go. */
function firstOpen<K, T extends Turn>(map: Map<K, Waiting<T>[]>, key: K): Waiting<T> | undefined {
  const list = map.get(key);
  if (list === undefined) return undefined;
  const first = list.findIndex(({ open }) => open);
  if (first < 0) map.delete(key);
  else if (first > 0) list.splice(0, first);
  return list[first < 0 ? list.length : 0];
}

export function* joinTurns<T extends Turn>(pairs: Iterable<Pair<T>>): Generator<Pair<T>, void, undefined> {
  const a = new Side<T>();
  const b = new Side<T>();
  let held: Waiting<T>[] = [];
  let at = 0;
  for (const pair of pairs) {
    at++;
    if (pair.a !== undefined && pair.b !== undefined) {
      a.last.set(pair.a.thread, at);
      b.last.set(pair.b.thread, at);
      if (held.length === 0) yield pair;
      else held.push({ pair, at, side: a, open: false });
    } else {
      const [side, other] = pair.a !== undefined ? [a, b] : [b, a];
      const item = (pair.a ?? pair.b) as T;
      const found = other.find(item.key);
      const there = found === undefined ? undefined : ((found.pair.a ?? found.pair.b) as T);
      if (
        found !== undefined &&
        there !== undefined &&
        (side.last.get(item.thread) ?? 0) < found.at &&
        (other.last.get(there.thread) ?? 0) < found.at
      ) {
        found.pair = pair.a !== undefined ? { a: item, b: there } : { a: there, b: item };
        other.close(there.thread, found);
      } else {
        const entry = { pair, at, side, open: true };
        held.push(entry);
        side.wait(item, entry);
      }
    }
    // Looked at now and then: what is behind the first that waits can't be given out.
    if (held.length > 0 && at % 64 === 0) held = yield* release(held, at);
  }
  for (const { pair } of held) yield pair;
}

function* release<T extends Turn>(
  held: Waiting<T>[],
  now: number,
): Generator<Pair<T>, Waiting<T>[], undefined> {
  let done = 0;
  for (; done < held.length; done++) {
    const entry = held[done] as Waiting<T>;
    if (entry.open && now - entry.at < WINDOW) break;
    if (entry.pair.a === undefined || entry.pair.b === undefined) {
      // Too late for it.
      entry.open = false;
      entry.side.forget((entry.pair.a ?? entry.pair.b) as T);
    }
    yield entry.pair;
  }
  return done === 0 ? held : held.slice(done);
}
