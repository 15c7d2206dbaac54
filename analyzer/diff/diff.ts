// SPDX-License-Identifier: Apache-2.0
/** Two sessions of one driver: what the second one did more, less, or otherwise. */
import { touchedRegisters } from '../../abi/register-access.js';
import { hex, hexBytes, hexWidth } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import { PHASES, type Phase, phaseNs } from '../../session/phases/phase.js';
import type { Trace } from '../../traces/reader.js';
import { align } from './align.js';
import { type AccessValue, type Item, Items } from './items.js';
import { joinTurns } from './turns.js';

export interface Difference {
  readonly kind: 'added' | 'removed' | 'changed';
  readonly phase: Phase;
  /** `device0 store BAR0+0x14 CC` */
  readonly what: string;
  /** Numbers of the events; undefined where there is none. */
  readonly eventA: number | undefined;
  readonly eventB: number | undefined;
  /** Values; undefined where it is missing. */
  readonly a: string | undefined;
  readonly b: string | undefined;
}

/** A register that a load or a read gave other values for. */
export interface VolatileRegister {
  readonly region: number;
  readonly offset: number;
  readonly bits: bigint;
}

export interface PhaseTimes {
  readonly phase: Phase;
  /** ns */
  readonly a: number;
  readonly b: number;
}

export interface InterruptCount {
  readonly vector: string;
  readonly a: number;
  readonly b: number;
}

export interface DiffResult {
  /** What was compared and is the same. */
  readonly same: number;
  /** All are counted; the first are kept. */
  readonly counts: Readonly<Record<Difference['kind'], number>>;
  readonly differences: readonly Difference[];
  readonly volatile: readonly VolatileRegister[];
  /** Those whose counts differ; how many came of one cause is a matter of time, and no difference unless there was none. */
  readonly interrupts: readonly InterruptCount[];
  readonly phases: readonly PhaseTimes[];
}

const DIFFERENCES_KEPT = 1000;
const VOLATILE_KEPT = 4096;

export function diffTraces(first: Trace, second: Trace): DiffResult {
  const a = new Items(first);
  const b = new Items(second);
  const found = new Differences();
  for (const pair of joinTurns(align(a, b))) found.take(pair.a, pair.b);
  const interrupts: InterruptCount[] = [];
  for (const vector of [...new Set([...a.interrupts.keys(), ...b.interrupts.keys()])].sort()) {
    const [seenA, seenB] = [a.interrupts.get(vector) ?? 0, b.interrupts.get(vector) ?? 0];
    if (seenA === seenB) continue;
    interrupts.push({ vector, a: seenA, b: seenB });
    if (seenA === 0 || seenB === 0) found.interrupt(vector, seenA, seenB);
  }
  const { same, counts, differences } = found;
  const phases = phaseTimes(a, b);
  return { same, counts, differences, volatile: found.volatile, interrupts, phases };
}

class Differences {
  same = 0;
  readonly counts = { added: 0, removed: 0, changed: 0 };
  readonly differences: Difference[] = [];
  readonly #volatile = new Map<string, VolatileRegister>();

  get volatile(): readonly VolatileRegister[] {
    return [...this.#volatile.values()];
  }

  take(a: Item | undefined, b: Item | undefined): void {
    if (a !== undefined && b !== undefined) this.#compare(a, b);
    else if (a !== undefined) this.#add('removed', a, nameOf(a), a, undefined, valueText(a), undefined);
    else if (b !== undefined) this.#add('added', b, nameOf(b), undefined, b, undefined, valueText(b));
  }

  interrupt(vector: string, a: number, b: number): void {
    this.#push({
      kind: a === 0 ? 'added' : 'removed',
      phase: 'steady',
      what: `${vector} interrupts`,
      eventA: undefined,
      eventB: undefined,
      a: a === 0 ? undefined : String(a),
      b: b === 0 ? undefined : String(b),
    });
  }

  #compare(a: Item, b: Item): void {
    if (a.failure !== b.failure || a.text !== b.text) {
      const text = ({ failure, text }: Item) => (failure === '' ? text : `-1 ${failure}`);
      this.#add('changed', a, nameOf(a), a, b, text(a), text(b));
      return;
    }
    const [one, other] = [a.access, b.access];
    if (one === undefined || other === undefined || sameAccess(one, other)) {
      this.same++;
      return;
    }
    for (const { offset, width, from, to } of differingRegisters(one, other)) {
      const what = `${a.key.split(' ').slice(0, 2).join(' ')} ${placeOf(one, offset)}`;
      this.#add(
        'changed',
        a,
        what,
        a,
        b,
        `${registerText(one, offset, width, from)}${addressText(one)}`,
        `${registerText(one, offset, width, to)}${addressText(other)}`,
      );
      if (one.reading) this.#learn(one.region, offset, from ^ to);
    }
  }

  #learn(region: number, offset: number, bits: bigint): void {
    const key = `${region}+${offset}`;
    const known = this.#volatile.get(key);
    if (known === undefined && this.#volatile.size >= VOLATILE_KEPT) return;
    this.#volatile.set(key, { region, offset, bits: bits | (known?.bits ?? 0n) });
  }

  #add(
    kind: Difference['kind'],
    { phase }: Item,
    what: string,
    a: Item | undefined,
    b: Item | undefined,
    textA: string | undefined,
    textB: string | undefined,
  ): void {
    this.#push({ kind, phase, what, eventA: a?.event, eventB: b?.event, a: textA, b: textB });
  }

  #push(difference: Difference): void {
    this.counts[difference.kind]++;
    if (this.differences.length < DIFFERENCES_KEPT) this.differences.push(difference);
  }
}

/** Without the width. */
const nameOf = ({ key }: Item): string => key.replace(/ \(\d+\)$/, '');

function sameAccess(a: AccessValue, b: AccessValue): boolean {
  if (a.bytes !== undefined || b.bytes !== undefined)
    return a.bytes !== undefined && b.bytes !== undefined && Buffer.compare(a.bytes, b.bytes) === 0;
  return a.value === b.value || (a.address !== undefined && a.address === b.address);
}

interface Differing {
  readonly offset: number;
  readonly width: number;
  readonly from: bigint;
  readonly to: bigint;
}

function bytesOf({ bytes, value, width }: AccessValue): Uint8Array {
  if (bytes !== undefined) return bytes;
  const count = Math.min(Math.max(width, 1), 8);
  const made = new Uint8Array(count);
  for (let i = 0; i < count; i++) made[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return made;
}

/** Register by register, where they are known. */
function differingRegisters(a: AccessValue, b: AccessValue): readonly Differing[] {
  const [one, other] = [bytesOf(a), bytesOf(b)];
  const lookup = a.device?.lookup(a.region);
  const found: Differing[] = [];
  const length = Math.max(one.length, other.length);
  for (let at = 0; at < length; ) {
    const placed = lookup?.(a.offset + at);
    const whole =
      placed === undefined
        ? a.bytes === undefined
          ? length
          : at + 1
        : placed.start + placed.register.width - a.offset;
    const end = Math.min(length, Math.max(whole, at + 1), at + 8);
    const [from, to] = [number(one, at, end), number(other, at, end)];
    if (from !== to) found.push({ offset: a.offset + at, width: end - at, from, to });
    at = end;
  }
  return found;
}

function number(bytes: Uint8Array, from: number, to: number): bigint {
  let value = 0n;
  for (let i = Math.min(to, bytes.length) - 1; i >= from; i--)
    value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

function placeOf({ device, region }: AccessValue, offset: number): string {
  const name = device?.lookup(region)(offset)?.name;
  return `${regionName(region)}+${hex(offset)}${name === undefined ? '' : ` ${name}`}`;
}

function registerText({ device, region }: AccessValue, offset: number, width: number, value: bigint): string {
  const [first] = device === undefined ? [] : touchedRegisters(device.lookup(region), offset, width, value);
  return first?.text.replace(/^\S+ = /, '') ?? hexWidth(value, width);
}

const addressText = ({ address }: AccessValue): string => (address === undefined ? '' : ` (${address})`);

function valueText({ access, failure, text }: Item): string {
  if (failure !== '') return `-1 ${failure}`;
  if (access === undefined) return text;
  if (access.bytes !== undefined) return hexBytes(access.bytes, 16);
  return registerText(access, access.offset, Math.min(Math.max(access.width, 1), 8), access.value);
}

function phaseTimes(a: Items, b: Items): readonly PhaseTimes[] {
  return PHASES.map((phase) => ({ phase, a: phaseNs(a.phases, phase), b: phaseNs(b.phases, phase) })).filter(
    (times) => times.a > 0 || times.b > 0,
  );
}
