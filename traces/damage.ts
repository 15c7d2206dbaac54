// SPDX-License-Identifier: Apache-2.0
import { MAX_DAMAGES } from './limits.js';

/** Something of the file that could not be read, and exactly what. */
export interface Damage {
  /** One line, complete: 'bytes 4096 to 8191: not a packet; events 0 to 65535 are missing'. */
  readonly message: string;
  readonly firstByte: number;
  /** First byte after it. */
  readonly endByte: number;
  /** When it is known which events are gone. */
  readonly firstEvent: number | undefined;
  readonly events: number | undefined;
}

export class DamageList {
  readonly list: Damage[] = [];
  private readonly seen = new Set<number>();
  private more = 0;

  /** The same place is told of once, however often it is read. */
  add(firstByte: number, endByte: number, reason: string, firstEvent?: number, events?: number): void {
    if (this.seen.has(firstByte)) {
      return;
    }
    if (this.list.length >= MAX_DAMAGES) {
      this.more++;
      const last = this.list.length - 1;
      const { message: _, ...rest } = this.list[last] as Damage;
      this.list[last] = { ...rest, message: `and ${this.more + 1} more places that can't be read` };
      return;
    }
    this.seen.add(firstByte);
    this.list.push({
      message: describe(firstByte, endByte, reason, firstEvent, events),
      firstByte,
      endByte,
      firstEvent,
      events,
    });
  }
}

function describe(
  firstByte: number,
  endByte: number,
  reason: string,
  firstEvent?: number,
  events?: number,
): string {
  const where = endByte > firstByte ? `bytes ${firstByte} to ${endByte - 1}: ` : '';
  const lost =
    firstEvent === undefined || events === undefined || events === 0
      ? ''
      : events === 1
        ? `; event ${firstEvent} is missing`
        : `; events ${firstEvent} to ${firstEvent + events - 1} are missing`;
  return `${where}${reason}${lost}`;
}
