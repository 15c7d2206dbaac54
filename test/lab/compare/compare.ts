// SPDX-License-Identifier: Apache-2.0
import { type Call, type CallName, keyOf } from './calls.js';

export interface Difference {
  readonly thread: number;
  /** What strace saw, undefined when it saw nothing at this place. */
  readonly strace: Call | undefined;
  readonly trace: Call | undefined;
}

export interface Comparison {
  /** Calls that strace saw, by name. */
  readonly seen: ReadonlyMap<CallName, number>;
  readonly total: number;
  readonly matched: number;
  /** Descriptors made past libc, each of which the trace tells of as unseen at its first use. */
  readonly unseen: number;
  readonly differences: readonly Difference[];
}

const CREATIONS: ReadonlySet<CallName> = new Set(['open', 'eventfd']);

/**
 * Both lists, thread by thread, in order. A call that only one of them has costs one difference, not all that follow.
 * `unseen`: the descriptors that the trace says it did not see made.
 */
export function compareCalls(
  strace: readonly Call[],
  trace: readonly Call[],
  unseen: readonly number[] = [],
): Comparison {
  const seen = new Map<CallName, number>();
  for (const { name } of strace) seen.set(name, (seen.get(name) ?? 0) + 1);
  const told = [...unseen];
  const comparable = strace.filter(({ name, pastLibc, result }) => {
    const at = pastLibc && CREATIONS.has(name) ? told.indexOf(Number(result)) : -1;
    if (at !== -1) told.splice(at, 1);
    return at === -1;
  });
  const left = byThread(comparable);
  const right = byThread(trace);
  const differences: Difference[] = [];
  let matched = 0;
  for (const thread of new Set([...left.keys(), ...right.keys()])) {
    matched += align(thread, left.get(thread) ?? [], right.get(thread) ?? [], differences);
  }
  return { seen, total: strace.length, matched, unseen: strace.length - comparable.length, differences };
}

function byThread(calls: readonly Call[]): Map<number, Call[]> {
  const threads = new Map<number, Call[]>();
  for (const call of calls) {
    const list = threads.get(call.thread);
    if (list === undefined) threads.set(call.thread, [call]);
    else list.push(call);
  }
  return threads;
}

/** How far to look for the place where both lists go on alike. */
const WINDOW = 200;

function align(
  thread: number,
  left: readonly Call[],
  right: readonly Call[],
  differences: Difference[],
): number {
  const leftKeys = left.map(keyOf);
  const rightKeys = right.map(keyOf);
  let matched = 0;
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && leftKeys[i] === rightKeys[j]) {
      matched++;
      i++;
      j++;
      continue;
    }
    const [skipLeft, skipRight] = resume(leftKeys, i, rightKeys, j);
    for (let k = 0; k < Math.max(skipLeft, skipRight); k++) {
      differences.push({
        thread,
        strace: k < skipLeft ? left[i + k] : undefined,
        trace: k < skipRight ? right[j + k] : undefined,
      });
    }
    i += skipLeft;
    j += skipRight;
  }
  return matched;
}

/** The smallest number of calls to leave out on each side so that the next ones are equal. */
function resume(
  left: readonly string[],
  i: number,
  right: readonly string[],
  j: number,
): readonly [number, number] {
  for (let sum = 1; sum <= WINDOW; sum++) {
    for (let a = 0; a <= sum; a++) {
      const key = left[i + a];
      if (key !== undefined && key === right[j + sum - a]) return [a, sum - a];
    }
  }
  // Nothing in sight: what is left has no counterpart, as far as one can look.
  return [Math.min(WINDOW, left.length - i), Math.min(WINDOW, right.length - j)];
}

export function describeDifference({ thread, strace, trace }: Difference): string {
  const side = (call: Call | undefined): string =>
    call === undefined ? 'nothing' : `${keyOf(call)} (${call.where})`;
  return `thread ${thread}: strace saw ${side(strace)}; the trace has ${side(trace)}`;
}
