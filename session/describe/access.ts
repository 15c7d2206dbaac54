// SPDX-License-Identifier: Apache-2.0
/** Accesses: pread and pwrite of a descriptor, loads and stores of a mapped BAR. */

import { type Part, part } from '../../abi/ioctl.js';
import { MmioForm } from '../../abi/mmio-sites.js';
import { EVENTFD, isDevice, LYON_NETLINK } from '../../abi/object-kinds.js';
import { type TouchedRegister, touchedRegisters, touchedText } from '../../abi/register-access.js';
import { hex, hexBytes, hexWidth } from '../../abi/text.js';
import { updateInstruction } from '../../abi/update-instruction.js';
import { regionName } from '../../abi/vfio/regions.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import type { DeviceState, RegionPlace } from '../device.js';
import { routeName } from '../interrupts.js';
import { payloadBytes } from '../payloads.js';
import type { Session } from '../state.js';
import type { Description } from './description.js';
import { describeNetlink } from './netlink.js';
import { resultText } from './result.js';

const NO_PARTS: readonly Part[] = [];
/** Offsets beyond this don't fit a Number, and no register is there. */
const LAST_NAMED = 0xffff_ffffn;

export function describeTransfer(session: Session, event: Event): Description {
  const kind = session.names.kind(event.object);
  if (isDevice(kind)) {
    const device = session.device(event.object);
    const place = device?.locate(event.offset);
    if (device !== undefined && place !== undefined) return describeRegionTransfer(device, place, event);
  }
  if (kind === EVENTFD) return describeEventfdTransfer(session, event);
  if (kind === LYON_NETLINK) return describeNetlink(event);
  const op = event.kind === EventKind.READ ? 'read' : 'write';
  const data = transferred(event);
  const text = `${op} ${event.op}${event.offset === 0n ? '' : ` at ${hex(event.offset)}`}${data === '' ? '' : ` ${data}`}`;
  return { op, text, result: resultText(event), parts: NO_PARTS, known: true };
}

/** The bytes that moved are in the text: only a failure is left to say. */
function failure(event: Event): string | undefined {
  return event.errno === 0 ? undefined : resultText(event);
}

/** The bytes that moved; of a write that failed, those that were given. */
function moved(event: Event): number {
  if (event.errno === 0) return Number(event.result);
  return event.kind === EventKind.WRITE ? Math.min(event.op, 8) : 0;
}

function transferred(event: Event): string {
  const bytes = payloadBytes(event, PayloadRole.DATA);
  if (bytes !== undefined) return hexBytes(bytes);
  const count = moved(event);
  return count > 0 && count <= 8 ? hexWidth(BigInt.asUintN(count * 8, event.value), count) : '';
}

function describeRegionTransfer(device: DeviceState, place: RegionPlace, event: Event): Description {
  const op = event.kind === EventKind.READ ? 'read' : 'write';
  const region = regionName(place.index);
  const count = moved(event);
  const { offset } = place;
  const narrow = count >= 1 && count <= 8;
  const value = narrow ? BigInt.asUintN(count * 8, event.value) : 0n;
  let text = `${op} ${region}+${hex(offset)}`;
  if (narrow) {
    text += valueText(device, place.index, offset, count, value);
    if (event.errno === 0 && event.op !== count) text += ` (${event.result} of ${event.op} bytes)`;
  } else if ((event.flags & EventFlag.INTENT) !== 0) {
    // Its thread died in it: the result that the record has is nobody's answer.
    text += ` ${event.op} bytes, did not return`;
  } else {
    text +=
      event.errno === 0 && event.op !== count
        ? ` ${event.result} of ${event.op} bytes`
        : ` ${event.op} bytes`;
    const bytes = payloadBytes(event, PayloadRole.DATA);
    if (bytes !== undefined && bytes.length > 0) text += ` = ${hexBytes(bytes)}`;
  }
  const bytes = narrow ? count : 0;
  return new Access(op, text, failure(event), device, place.index, offset, bytes, value);
}

/** Of a region; its registers are looked up only where the text is not enough: a filter by register, JSON. */
class Access implements Description {
  readonly op: string;
  readonly text: string;
  readonly result: string | undefined;
  readonly parts = NO_PARTS;
  readonly known = true;
  readonly offset: bigint;
  readonly #device: DeviceState | undefined;
  readonly #index: number;
  readonly #width: number;
  readonly #value: bigint;

  /** `width` is 0 when the bytes are too many for registers. */
  constructor(
    op: string,
    text: string,
    result: string | undefined,
    device: DeviceState | undefined,
    index: number,
    offset: bigint,
    width: number,
    value: bigint,
  ) {
    this.op = op;
    this.text = text;
    this.result = result;
    this.offset = offset;
    this.#device = device;
    this.#index = index;
    this.#width = width;
    this.#value = value;
  }

  get region(): string {
    return regionName(this.#index);
  }

  get registers(): readonly TouchedRegister[] | undefined {
    return this.#width === 0
      ? undefined
      : registersAt(this.#device, this.#index, this.offset, this.#width, this.#value);
  }
}

function registersAt(
  device: DeviceState | undefined,
  region: number,
  offset: bigint,
  width: number,
  value: bigint,
): readonly TouchedRegister[] | undefined {
  if (device === undefined || offset > LAST_NAMED) return undefined;
  return touchedRegisters(device.lookup(region), Number(offset), width, value);
}

function valueText(
  device: DeviceState | undefined,
  region: number,
  offset: bigint,
  width: number,
  value: bigint,
): string {
  const text =
    device === undefined || offset > LAST_NAMED
      ? ''
      : touchedText(device.lookup(region), Number(offset), width, value);
  return text === '' ? ` = ${hexWidth(value, width)}` : text;
}

function describeEventfdTransfer(session: Session, event: Event): Description {
  const op = event.kind === EventKind.READ ? 'read' : 'write';
  const done = event.errno === 0 && event.result === 8n;
  const given = event.kind === EventKind.WRITE || done;
  const parts: Part[] = [];
  let text = op;
  if (given) {
    text += ` counter=${event.value}`;
    parts.push(part('counter', String(event.value), event.value, event.kind === EventKind.READ));
  }
  const interrupt = interruptText(session, event.object);
  if (interrupt !== undefined) {
    text += ` ${interrupt}`;
    parts.push(part('interrupt', interrupt, interrupt));
  }
  return { op, text, result: done ? undefined : resultText(event), parts, known: true };
}

/** `device0 MSIX[2]`: what an eventfd stands for, if for anything. */
export function interruptText(session: Session, eventfd: number): string | undefined {
  const route = session.interrupts.of(eventfd);
  return route === undefined ? undefined : `${session.names.name(route.device)} ${routeName(route)}`;
}

const accessNames: Readonly<Record<number, string>> = {
  [EventKind.LOAD]: 'load',
  [EventKind.STORE]: 'store',
  [EventKind.UPDATE]: 'update',
};

const NO_OPERAND: ReadonlySet<string> = new Set(['inc', 'dec', 'not', 'neg']);

/** `or 0x00000001`: what a locked instruction does that does not tell what it found. */
function operationText(
  { definitions }: Session,
  { site, op }: Event,
  bytes: number,
  operand: bigint,
): string {
  const instruction = definitions.mmioSites.get(site)?.instruction;
  const operation = instruction === undefined ? undefined : updateInstruction(instruction).operation;
  if (op >>> 24 !== MmioForm.LOCKED || operation === undefined) return 'changed';
  return NO_OPERAND.has(operation) ? operation : `${operation} ${hexWidth(operand, bytes)}`;
}

/** `load BAR0+0x1c = 0x00000001`; an update says what was there and what is there now. */
export function describeAccess(session: Session, event: Event): Description {
  const op = accessNames[event.kind] ?? 'access';
  const index = event.op & 0xff;
  const region = regionName(index);
  const width = (event.op >>> 8) & 0xff;
  const { offset } = event;
  const bytes = Math.min(Math.max(width, 1), 8);
  const value = BigInt.asUintN(bytes * 8, event.value);
  const intent = (event.flags & EventFlag.INTENT) !== 0;
  // The device was off (vfio-pci's SIGBUS), or the mapping doesn't allow it.
  const refused = event.errno !== 0;
  const unknown = (event.flags & EventFlag.UNKNOWN) !== 0 && !(refused && event.kind === EventKind.STORE);
  const device = width > 8 ? undefined : session.device(event.object);
  let text = `${op} ${region}+${hex(offset)}`;
  if (width > 8) {
    const data = payloadBytes(event, PayloadRole.DATA);
    text += ` ${width} bytes${data === undefined ? '' : ` = ${hexBytes(data, 64)}`}`;
  } else if (event.kind === EventKind.UPDATE && unknown && !refused) {
    // What the record has is the operand, and no value of the register's.
    const names = registersAt(device, index, offset, bytes, 0n)?.map(({ name }) => ` ${name}`);
    text += `${names?.join(',') ?? ''} ${operationText(session, event, bytes, value)}, was unknown`;
  } else if (
    (event.kind !== EventKind.UPDATE || refused) &&
    (unknown || (intent && event.kind === EventKind.LOAD))
  ) {
    // What was not seen has no value to show, but a name.
    const names = registersAt(device, index, offset, bytes, value)?.map(({ name }) => ` ${name}`);
    text += `${names?.join(',') ?? ''}${refused ? '' : unknown ? ' = unknown' : ` ${width} bytes`}`;
  } else text += valueText(device, index, offset, bytes, value);
  if (event.kind === EventKind.UPDATE && !refused && !unknown)
    text += ` was ${hexWidth(BigInt.asUintN(bytes * 8, event.result), bytes)}`;
  if (refused) text += ' refused';
  if (intent) text += ' never completed';
  return new Access(op, text, undefined, device, index, offset, bytes, value);
}
