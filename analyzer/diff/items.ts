// SPDX-License-Identifier: Apache-2.0
/**
 * A session as the sequence of what it did to its device, in words that two runs of one driver share: no descriptors, addresses,
 * ids or times; loads of one register in a row are one, with the value that the driver went on with.
 */
import { findIoctl } from '../../abi/ioctls.js';
import { decode, type Field, fieldText, type Layout } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import { MmioForm } from '../../abi/mmio-sites.js';
import * as kinds from '../../abi/object-kinds.js';
import { hex } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import type { DeviceState } from '../../session/device.js';
import { type EventName, nameEvent } from '../../session/groups/event-name.js';
import { routeName } from '../../session/interrupts.js';
import { payloadBytes, payloadOf } from '../../session/payloads.js';
import { type Phase, PhaseCursor, type PhaseSpan } from '../../session/phases/phase.js';
import { phasesOf } from '../../session/phases/phases.js';
import { Session, STATE_KINDS } from '../../session/state.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { DmaNames } from './dma-names.js';

/** An access to a region; its value as far as it was recorded. */
export interface AccessValue {
  readonly device: DeviceState | undefined;
  readonly region: number;
  readonly offset: number;
  readonly width: number;
  readonly reading: boolean;
  readonly value: bigint;
  /** More than eight bytes. */
  readonly bytes: Uint8Array | undefined;
  /** `mapping 3 + 0x1000`: the value is an address that the device may use. */
  readonly address: string | undefined;
}

export interface Item {
  /** What it is, without values: `device0 store BAR0+0x14 CC 4`. */
  readonly key: string;
  readonly phase: Phase;
  readonly thread: number;
  /** The last of them, where several were one. */
  event: number;
  /** ns that the calls took, all together. */
  duration: number;
  /** `EINVAL`, or empty. */
  readonly failure: string;
  /** Of an ioctl: `flags=READ|WRITE size=4K`; of an open or a mapping. */
  readonly text: string;
  access: AccessValue | undefined;
}

const VFIO_FILES: ReadonlySet<number> = new Set([
  kinds.CONTAINER,
  kinds.GROUP,
  kinds.NOIOMMU_GROUP,
  kinds.DEVICE,
  kinds.CDEV,
  kinds.IOMMUFD,
  kinds.LYON_DEVICE,
]);
/** What belongs to the process or to the machine, and is another each time. */
const OWN_FIELDS =
  /^(fd|iommufd|vaddr|user_va|iova|\w*_iova|out_\w+|pt_id|\w*ioas_id|id|\w*_id|data|data_uptr|allowed_iovas|offset|cap_offset|argsz)$/;
const IGNORED_FLAGS: Readonly<Record<string, readonly [field: string, bits: number]>> = {
  // Whether an IOVA was asked for or given out is the addresses' business.
  IOMMU_IOAS_MAP: ['flags', 1],
};
const WORD = 0x1_0000_0000;

/** How often each interrupt was seen by the driver. */
export type InterruptCounts = Map<string, number>;

export class Items {
  readonly interrupts: InterruptCounts = new Map();
  readonly phases: readonly PhaseSpan[];
  readonly #cursor: PhaseCursor;
  readonly #trace: Trace;
  readonly #session: Session;
  readonly #dma: DmaNames;
  readonly #names = new Map<string, { readonly name: EventName; readonly key: string }>();
  #latest: { readonly item: Item; readonly thread: number } | undefined;

  constructor(trace: Trace) {
    this.#trace = trace;
    this.phases = phasesOf(trace).spans;
    this.#cursor = new PhaseCursor(this.phases);
    this.#dma = new DmaNames();
    this.#session = new Session(trace.definitions, (change) => this.#dma.apply(change));
  }

  *[Symbol.iterator](): Generator<Item, void, undefined> {
    const stateful = new Set(STATE_KINDS);
    for (const batch of this.#trace.batches()) {
      for (let row = batch.begin; row < batch.end; row++) {
        const kind = batch.kind[row] as number;
        const access = kind === EventKind.LOAD || kind === EventKind.STORE || kind === EventKind.UPDATE;
        if (!access && !stateful.has(kind) && kind !== EventKind.WRITE) continue;
        if (isTwoAccesses(batch, row)) {
          const before = this.#access(batch, row, EventKind.LOAD, batch.result[row] as bigint);
          if (before !== undefined) yield before;
          const load = this.#access(batch, row, EventKind.STORE, batch.value[row] as bigint);
          if (load !== undefined) yield load;
          continue;
        }
        const merged = access
          ? this.#access(batch, row, kind, batch.value[row] as bigint)
          : this.#call(eventOfRow(this.#trace, batch, row));
        if (merged !== undefined) yield merged;
      }
    }
    const last = this.#taken();
    if (last !== undefined) yield last;
  }

  /** The item before, once it is known that no load of the same register follows. */
  #taken(): Item | undefined {
    const latest = this.#latest?.item;
    this.#latest = undefined;
    return latest;
  }

  #access(batch: EventBatch, row: number, kind: number, value: bigint): Item | undefined {
    if (((batch.flags[row] as number) & EventFlag.INTENT) !== 0) return undefined;
    const op = batch.op[row] as number;
    const object = batch.object[row] as number;
    const thread = batch.thread[row] as number;
    const low = batch.offsetWords[2 * row] as number;
    const high = batch.offsetWords[2 * row + 1] as number;
    const { name, key } = this.#named(batch, row, kind, `${kind}/${object}/${op & 0xffff}/${high}/${low}`);
    const reading = kind === EventKind.LOAD;
    if (reading && this.#session.device(object)?.registers.isLayout(op & 0xff, low + high * WORD) === true)
      this.#session.apply(eventOfRow(this.#trace, batch, row));
    const event = batch.firstEvent + row;
    const wide = name.width > 8;
    const access: AccessValue = {
      device: this.#session.device(object),
      region: name.region,
      offset: low + high * WORD,
      width: name.width,
      reading,
      value,
      bytes: wide ? payloadBytes(eventOfRow(this.#trace, batch, row), PayloadRole.DATA) : undefined,
      address: reading || wide ? undefined : this.#dma.name(value, name.width),
    };
    const latest = this.#latest;
    if (reading && latest !== undefined && latest.thread === thread && latest.item.key === key) {
      latest.item.access = access;
      latest.item.event = event;
      return undefined;
    }
    const before = this.#taken();
    const phase = this.#phase(event, object);
    this.#latest = {
      item: { key, phase, thread, event, duration: 0, failure: '', text: '', access },
      thread,
    };
    return before;
  }

  #named(
    batch: EventBatch,
    row: number,
    kind: number,
    id: string,
  ): { readonly name: EventName; readonly key: string } {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const name = nameEvent(this.#session, batch, row);
    const verb = kind === EventKind.LOAD ? 'load' : kind === EventKind.STORE ? 'store' : 'update';
    const found = {
      name,
      key: this.#place(name.object, verb, name.region, name.offset, name.width, name.register),
    };
    // A register may get its name by what is read of the layout: what has one keeps it.
    if (name.register !== '' && this.#names.size < NAMES_MAX) this.#names.set(id, found);
    return found;
  }

  #place(
    object: number,
    verb: string,
    region: number,
    offset: bigint,
    width: number,
    register: string,
  ): string {
    const named = register === '' ? '' : ` ${register}`;
    return `${this.#session.names.name(object)} ${verb} ${regionName(region)}+${hex(offset)}${named} (${width})`;
  }

  #phase(event: number, object: number): Phase {
    this.#cursor.advance(event);
    return this.#cursor.of(object);
  }

  // --- calls -----------------------------------------------------------------------------------------------------

  #call(event: Event): Item | undefined {
    const session = this.#session;
    const kind = session.names.kind(event.object);
    if ((event.flags & EventFlag.INTENT) !== 0) return undefined;
    if (kind === kinds.EVENTFD) {
      const route = session.interrupts.of(event.object);
      if (event.kind === EventKind.READ && event.errno === 0 && route?.role === 'trigger') {
        const name = `${session.names.name(route.device)} ${routeName(route)}`;
        this.interrupts.set(name, (this.interrupts.get(name) ?? 0) + Number(event.value));
      }
      session.apply(event);
      return undefined;
    }
    if (!VFIO_FILES.has(kind)) {
      session.apply(event);
      return undefined;
    }
    const described = this.#describe(event, kind);
    if (described === undefined) {
      session.apply(event);
      return undefined;
    }
    const before = this.#taken();
    session.apply(event);
    const item: Item = {
      ...described,
      phase: this.#phase(event.number, event.object),
      thread: event.thread,
      event: event.number,
      duration: event.duration,
      failure: event.errno === 0 ? '' : errnoName(event.errno),
    };
    this.#latest = { item, thread: -1 };
    return before;
  }

  #describe(event: Event, kind: number): Pick<Item, 'key' | 'text' | 'access'> | undefined {
    const object = this.#session.names.name(event.object);
    switch (event.kind) {
      case EventKind.OPEN:
        return { key: `open ${object}`, text: '', access: undefined };
      case EventKind.IOCTL:
        return this.#ioctl(event, kind, object);
      case EventKind.READ:
      case EventKind.WRITE:
        return this.#transfer(event);
      case EventKind.MMAP: {
        const place = this.#session.device(event.object)?.locate(event.offset);
        if (place === undefined) return undefined;
        const key = `${object} mmap ${regionName(place.index)}+${hex(place.offset)}`;
        return { key, text: `length=${hex(event.value)}`, access: undefined };
      }
      default:
        return undefined;
    }
  }

  #ioctl(event: Event, kind: number, object: string): Pick<Item, 'key' | 'text' | 'access'> {
    const found = findIoctl(kind, event.op);
    const name = found?.name ?? `ioctl ${hex(event.op)}`;
    const result = found?.returns === 'number' && event.errno === 0 ? `result=${event.result}` : '';
    const { argument } = found ?? {};
    if (argument?.kind === 'value')
      return { key: `${object} ${name} ${event.value}`, text: result, access: undefined };
    if (argument?.kind !== 'struct') return { key: `${object} ${name}`, text: result, access: undefined };
    const before = payloadOf(event, PayloadRole.IN) ?? new Uint8Array();
    const after = event.errno === 0 ? (payloadOf(event, PayloadRole.OUT) ?? before) : before;
    const { index, text } = fieldsText(name, argument.layout, before, after);
    return {
      key: `${object} ${name}${index}`,
      text: [text, result].filter(Boolean).join(' '),
      access: undefined,
    };
  }

  #transfer(event: Event): Pick<Item, 'key' | 'text' | 'access'> | undefined {
    const device = this.#session.device(event.object);
    const place = device?.locate(event.offset);
    if (device === undefined || place === undefined) return undefined;
    const reading = event.kind === EventKind.READ;
    const [region, offset, width] = [place.index, Number(place.offset), event.op];
    const register = device.lookup(region)(offset)?.name ?? '';
    const done = event.errno === 0 ? Number(event.result) : width;
    const access: AccessValue = {
      device,
      region,
      offset,
      width: Math.min(done, width),
      reading,
      value: event.value,
      bytes: done > 8 ? payloadBytes(event, PayloadRole.DATA) : undefined,
      address: undefined,
    };
    const key = this.#place(event.object, reading ? 'read' : 'write', region, place.offset, width, register);
    const text = event.errno === 0 && done !== width ? `${done} of ${width} bytes` : '';
    return { key, text, access: event.errno === 0 ? access : undefined };
  }
}

/** A read-modify-write that is not locked loads, and then stores. */
function isTwoAccesses(batch: EventBatch, row: number): boolean {
  return (
    batch.kind[row] === EventKind.UPDATE &&
    (batch.op[row] as number) >>> 24 === MmioForm.MODIFY &&
    ((batch.flags[row] as number) & EventFlag.UNKNOWN) === 0
  );
}

/** Keys by event are kept for so many places; beyond, they are made anew. */
const NAMES_MAX = 1 << 16;

/** The fields that say the same in each run; what went in and what came out. */
function fieldsText(name: string, layout: Layout, before: Uint8Array, after: Uint8Array) {
  const given = decode(layout, before) as Readonly<Record<string, number | bigint>>;
  const answered = decode(layout, after) as Readonly<Record<string, number | bigint>>;
  const ignored = IGNORED_FLAGS[name];
  let index = '';
  let text = '';
  for (const [field, description] of Object.entries(layout.fields)) {
    const { direction, offset, hidden } = description as Field;
    let value = (direction === 'out' ? answered : given)[field];
    if (value === undefined) continue;
    if (field === 'index') index = ` ${fieldText(description, value)}`;
    if (field === 'index' || OWN_FIELDS.test(field) || (offset === 0 && field === 'size')) continue;
    if (hidden === true && Number(value) === 0) continue;
    if (ignored?.[0] === field && typeof value === 'number') value &= ~ignored[1];
    text += `${text === '' ? '' : ' '}${field}=${fieldText(description, value)}`;
  }
  return { index, text };
}
