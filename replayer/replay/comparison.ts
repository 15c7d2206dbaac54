// SPDX-License-Identifier: Apache-2.0
/** What came back, against what was recorded. */
import { decode, type Field, fieldText, type Layout } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import { touchedRegisters } from '../../abi/register-access.js';
import { hex, hexWidth } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import type { Session } from '../../session/state.js';
import type { Event } from '../../traces/model.js';
import type { Account } from './account.js';
import { littleEndianNumber } from './bytes.js';
import type { Masks } from './masks.js';

export class Comparison {
  readonly #session: Session;
  readonly #account: Account;
  readonly #masks: Masks;

  constructor(session: Session, account: Account, masks: Masks) {
    this.#session = session;
    this.#account = account;
    this.#masks = masks;
  }

  /** Whether both failed in the same way, or neither did. */
  errno(event: Event, what: string, errno: number): boolean {
    this.#account.compare();
    if (event.errno === errno) return true;
    const text = (number: number) => (number === 0 ? 'success' : errnoName(number));
    this.#account.diverge('errno', event.number, event.object, what, text(event.errno), text(errno));
    return false;
  }

  /** `isNumber`: what the call returned says something. */
  result(event: Event, what: string, result: number, isNumber: boolean): boolean {
    if (!this.errno(event, what, result < 0 ? -result : 0)) return false;
    if (!isNumber || result < 0) return true;
    this.#account.compare();
    if (event.result === BigInt(result)) return true;
    this.#account.diverge('result', event.number, event.object, what, String(event.result), String(result));
    return false;
  }

  /** What the kernel filled in, but for the fields that are the machine's own. */
  fields(
    event: Event,
    name: string,
    layout: Layout,
    recorded: Uint8Array,
    seen: Uint8Array,
    ignore: readonly string[],
  ): void {
    const was = decode(layout, recorded) as Readonly<Record<string, number | bigint>>;
    const is = decode(layout, seen) as Readonly<Record<string, number | bigint>>;
    const { index } = layout.fields as Readonly<Record<string, Field>>;
    const which =
      index === undefined || was['index'] === undefined ? '' : ` ${fieldText(index, was['index'])}`;
    for (const [field, description] of Object.entries(layout.fields)) {
      const { direction } = description as Field;
      if (direction === undefined || direction === 'in' || ignore.includes(field)) continue;
      const [a, b] = [was[field], is[field]];
      if (a === undefined || b === undefined) continue;
      this.#account.compare();
      if (a === b) continue;
      const what = `${name}${which} ${field}`;
      const [before, now] = [fieldText(description, a), fieldText(description, b)];
      this.#account.diverge('field', event.number, event.object, what, before, now);
    }
  }

  /** Register by register, where they are known. */
  bytes(event: Event, region: number, offset: number, recorded: Uint8Array, seen: Uint8Array): void {
    this.#account.compare();
    if (recorded.length === seen.length && recorded.every((byte, i) => byte === seen[i])) return;
    const lookup = this.#session.device(event.object)?.lookup(region);
    for (let at = 0; at < recorded.length; ) {
      const placed = lookup?.(offset + at);
      const end =
        placed === undefined
          ? at + 1
          : Math.min(recorded.length, placed.start + placed.register.width - offset);
      const a = littleEndianNumber(recorded.subarray(at, end));
      const b = littleEndianNumber(seen.subarray(at, end));
      if (a !== b) this.value(event.number, event.object, region, offset + at, end - at, a, b);
      at = end;
    }
  }

  /** Of a register that differs: a divergence, unless a mask covers it. */
  value(
    event: number,
    object: number,
    region: number,
    offset: number,
    width: number,
    recorded: bigint,
    seen: bigint,
  ): void {
    const lookup = this.#session.device(object)?.lookup(region);
    const masked = this.#masks.bits(region, offset, lookup?.(offset)?.name);
    if ((recorded & ~masked) === (seen & ~masked)) {
      this.#account.masked++;
      return;
    }
    const text = (value: bigint) => {
      const [first] = lookup === undefined ? [] : touchedRegisters(lookup, offset, width, value);
      return first?.text.replace(/^\S+ = /, '') ?? hexWidth(value, width);
    };
    const [first] = lookup === undefined ? [] : touchedRegisters(lookup, offset, width, recorded);
    const name = first === undefined ? '' : ` ${first.name}`;
    const what = `${regionName(region)}+${hex(offset)}${name}`;
    this.#account.diverge('value', event, object, what, text(recorded), text(seen));
  }
}
