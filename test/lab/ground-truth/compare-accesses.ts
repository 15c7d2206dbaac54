// SPDX-License-Identifier: Apache-2.0
import type { SeenAccess } from './device-log.js';
import type { RecordedAccess } from './recorded-accesses.js';

export interface AccessComparison {
  readonly matched: number;
  /** Of those: loads and stores of the driver, and what the kernel did for its pread and pwrite. */
  readonly loads: number;
  readonly stores: number;
  readonly calls: number;
  /** Accesses that QEMU had cut into several and that are joined again. */
  readonly joined: number;
  /** Matched but for the value, which the trace says that it doesn't know. */
  readonly unknown: number;
  readonly threads: number;
  readonly onlySeen: readonly SeenAccess[];
  readonly onlyRecorded: readonly RecordedAccess[];
  /** Two accesses of different threads, the first over before the second began, that QEMU saw the other way round. */
  readonly misordered: readonly RecordedAccess[];
}

/** How far to look for where both go on alike. */
const WINDOW = 500;

/**
 * Takes what the devices saw, in its order, from the heads of the threads' recordings: every thread's own order must be
 * kept, and between threads the order of accesses that don't overlap in time.
 */
export function compareAccesses(
  seen: readonly SeenAccess[],
  recorded: ReadonlyMap<number, readonly RecordedAccess[]>,
): AccessComparison {
  const queues = [...recorded.values()].map((list) => ({ list, next: 0 }));
  const onlySeen: SeenAccess[] = [];
  const onlyRecorded: RecordedAccess[] = [];
  const misordered: RecordedAccess[] = [];
  const count = { matched: 0, loads: 0, stores: 0, calls: 0, joined: 0, unknown: 0 };
  let at = 0;
  for (;;) {
    const heads = queues
      .flatMap((queue) => {
        const head = queue.list[queue.next];
        return head === undefined ? [] : [{ queue, head }];
      })
      .sort((a, b) => a.head.began - b.head.began);
    const [earliest] = heads;
    if (earliest === undefined) break;
    const found = heads.find(({ head }) => linesOf(seen, at, head) > 0);
    if (found === undefined) {
      const later = whereNext(seen, at, earliest.head);
      if (later === undefined) {
        onlyRecorded.push(earliest.head);
        earliest.queue.next++;
      } else {
        onlySeen.push(...seen.slice(at, later));
        at = later;
      }
      continue;
    }
    const { queue, head } = found;
    if (heads.some((other) => other !== found && other.head.over <= head.began)) misordered.push(head);
    const lines = linesOf(seen, at, head);
    at += lines;
    queue.next++;
    count.matched++;
    if (head.call) count.calls++;
    else if (head.write) count.stores++;
    else count.loads++;
    if (lines > 1) count.joined++;
    if (head.value === undefined) count.unknown++;
  }
  onlySeen.push(...seen.slice(at));
  return { ...count, threads: recorded.size, onlySeen, onlyRecorded, misordered };
}

/** How many of the lines from `at` on are this access, 0 if they are another: the same bytes, low ones first, one after the other. */
function linesOf(seen: readonly SeenAccess[], at: number, access: RecordedAccess): number {
  let value = 0n;
  let bytes = 0;
  for (let i = at; i < seen.length; i++) {
    const line = seen[i];
    if (
      line === undefined ||
      line.write !== access.write ||
      line.bdf !== access.bdf ||
      line.region !== access.region ||
      line.offset !== access.offset + BigInt(bytes) ||
      bytes + line.width > access.width
    ) {
      return 0;
    }
    value |= line.value << BigInt(8 * bytes);
    bytes += line.width;
    if (bytes === access.width) {
      return access.value === undefined || access.value === value ? i - at + 1 : 0;
    }
  }
  return 0;
}

function whereNext(seen: readonly SeenAccess[], at: number, access: RecordedAccess): number | undefined {
  for (let i = at + 1; i < Math.min(seen.length, at + WINDOW); i++) {
    if (linesOf(seen, i, access) > 0) return i;
  }
  return undefined;
}

/** For a person, at most `limit` lines. */
export function describeAccessDifferences(comparison: AccessComparison, limit = 10): readonly string[] {
  const one = (access: SeenAccess | RecordedAccess): string =>
    `${access.write ? 'write' : 'read'} ${access.bdf} BAR${access.region}+0x${access.offset.toString(16)} ${access.width} bytes = ` +
    (access.value === undefined ? 'unknown' : `0x${access.value.toString(16)}`);
  const lines = [
    ...comparison.onlySeen.map((access) => `only QEMU saw ${one(access)} (line ${access.line} of its log)`),
    ...comparison.onlyRecorded.map((access) => `only the trace has ${one(access)} (event ${access.event})`),
    ...comparison.misordered.map(
      (access) => `QEMU saw it before one that was over earlier: ${one(access)} (event ${access.event})`,
    ),
  ];
  return lines.length <= limit ? lines : [...lines.slice(0, limit), `and ${lines.length - limit} more`];
}
