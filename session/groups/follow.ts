// SPDX-License-Identifier: Apache-2.0
/**
 * A trace followed by its groups (traces/event-groups.ts): fast, since what repeats is looked at once. The state is
 * kept as far as names and interrupts need it; what is mapped for DMA is not. Statistics and exports stand on this;
 * rules, which judge, on story/.
 */
import { findIoctl } from '../../abi/ioctls.js';
import { isDevice } from '../../abi/object-kinds.js';
import { IRQ_SET, IRQ_SET_ACTION_TRIGGER, IRQ_SET_DATA_EVENTFD } from '../../abi/vfio/irqs.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import type { ColumnName, EventBatch } from '../../traces/columns.js';
import { EventGroups } from '../../traces/event-groups.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { ChangeListener } from '../change.js';
import { Session } from '../state.js';
import { type EventName, isAccess, nameEvent } from './event-name.js';

/** When the state wants to see the events of a group. */
const Applies = { NEVER: 0, ONCE: 1, ALWAYS: 2 } as const;
type Applies = (typeof Applies)[keyof typeof Applies];

/** They change mappings for DMA, millions of times, and nothing that has a name. */
export const DMA_CALLS: ReadonlySet<string> = new Set([
  'VFIO_IOMMU_MAP_DMA',
  'VFIO_IOMMU_UNMAP_DMA',
  'IOMMU_IOAS_MAP',
  'IOMMU_IOAS_MAP_FILE',
  'IOMMU_IOAS_COPY',
  'IOMMU_IOAS_UNMAP',
  'VFIO_DMA_MAP_IOVA',
  'VFIO_DMA_MAP_ANYWHERE',
  'VFIO_DMA_UNMAP',
]);

/** What a file's group of events is called, and what the consumer keeps with it. */
export interface GroupBatch {
  readonly batch: EventBatch;
  readonly groups: EventGroups;
}

const NOTHING = new EventGroups();

export class GroupFollower {
  readonly trace: Trace;
  readonly session: Session;
  /** Grows when names may have changed: what was made from them is to be asked for anew. */
  epoch = 0;
  #batch: EventBatch | undefined;
  #groups: EventGroups = NOTHING;
  #generation = 0;
  /** By the number of a group. */
  #names: (EventName | undefined)[] = [];
  #applies = new Uint8Array(256);
  /** By device: the regions of which it is known where they lie. */
  readonly #regions = new Map<number, Set<number>>();
  readonly #payloads = new PayloadCursor();

  constructor(trace: Trace, listener?: ChangeListener) {
    this.trace = trace;
    this.session = new Session(trace.definitions, (change, event) => {
      listener?.(change, event);
      if (change.type === 'interrupt') this.#forget();
      if (change.type !== 'region') return;
      const known = this.#regions.get(change.device.id);
      if (known === undefined) this.#regions.set(change.device.id, new Set([change.index]));
      else known.add(change.index);
      this.#forget();
    });
  }

  /** Of payloads there are all. */
  *batches(columns: readonly ColumnName[]): Generator<GroupBatch, void, undefined> {
    for (const batch of this.trace.batches({ groups: true, columns })) {
      yield { batch, groups: this.begin(batch) };
    }
  }

  /** Of a batch that the caller has read, with groups and payloads: it is the present one. */
  begin(batch: EventBatch): EventGroups {
    const groups = batch.groups ?? NOTHING;
    this.#batch = batch;
    this.#groups = groups;
    if (this.#generation !== groups.generation) {
      this.#generation = groups.generation;
      this.#forget();
    }
    if (this.#applies.length < groups.numbered) {
      const applies = new Uint8Array(2 * groups.numbered);
      applies.set(this.#applies);
      this.#applies = applies;
    }
    return groups;
  }

  /** Of the present batch, and good for the group's number until the epoch grows. */
  name(group: number): EventName {
    const { rows, numbers } = this.#groups;
    const number = numbers[group] as number;
    const known = this.#names[number];
    if (known !== undefined) return known;
    const name = nameEvent(this.session, this.#batch as EventBatch, rows[group] as number);
    this.#names[number] = name;
    return name;
  }

  /** Whether `apply` is to be called for the rows of this group. */
  applies(group: number): boolean {
    const applies = this.#when(this.name(group), this.#groups.rows[group] as number);
    this.#applies[this.#groups.numbers[group] as number] = applies;
    return applies !== Applies.NEVER;
  }

  /** Afterwards the state has this event; false: the group's later rows need not be shown. */
  apply(group: number, row: number): boolean {
    const number = this.#groups.numbers[group] as number;
    const applies = this.#applies[number] as Applies;
    if (applies === Applies.NEVER) return false;
    const batch = this.#batch as EventBatch;
    if (this.#saysNothingNew(this.name(group), row)) return true;
    // The columns of the group are good in its own row only.
    const event = eventOfRow(this.trace, batch, row, this.#groups.rows[group]);
    if (applies === Applies.ALWAYS) {
      this.session.apply(event);
      return true;
    }
    const layout = this.session.device(event.object)?.layout;
    this.session.apply(event);
    this.#applies[number] = Applies.NEVER;
    if (layout !== this.session.device(event.object)?.layout) this.#forget();
    return false;
  }

  /** What some drivers do again and again, and an event of its own would be made for. */
  #saysNothingNew({ operation, object }: EventName, row: number): boolean {
    const word = (at: number) => this.#payloads.word(this.#batch as EventBatch, row, at);
    switch (operation) {
      case 'VFIO_DEVICE_GET_REGION_INFO': {
        // The answer is the same while the device is open.
        const index = word(REGION_INFO.fields.index.offset);
        return index !== undefined && this.#regions.get(object)?.has(index) === true;
      }
      case 'VFIO_DEVICE_SET_IRQS': {
        // Only what attaches an eventfd or detaches all changes which eventfd is which interrupt.
        const flags = word(IRQ_SET.fields.flags.offset) ?? 0;
        const isDetaching = (flags & IRQ_SET_ACTION_TRIGGER) !== 0 && word(IRQ_SET.fields.count.offset) === 0;
        return (flags & IRQ_SET_DATA_EVENTFD) === 0 && !isDetaching;
      }
      default:
        return false;
    }
  }

  #forget(): void {
    this.epoch++;
    this.#names = [];
  }

  #when(name: EventName, row: number): Applies {
    const { kind, object, region, offset } = name;
    const batch = this.#batch as EventBatch;
    switch (kind) {
      case EventKind.OPEN:
      case EventKind.CLOSE:
      case EventKind.DUP:
      case EventKind.MMAP:
      case EventKind.MUNMAP:
      case EventKind.MREMAP:
      case EventKind.EVENTFD:
      case EventKind.RECV_FD:
      case EventKind.UNSEEN:
        return Applies.ALWAYS;
      case EventKind.IOCTL: {
        if (batch.errno[row] !== 0 || DMA_CALLS.has(name.operation)) return Applies.NEVER;
        return findIoctl(this.session.names.kind(object), batch.op[row] as number) === undefined
          ? Applies.NEVER
          : Applies.ALWAYS;
      }
      case EventKind.READ:
        // What the capabilities and the layout registers say where registers lie: the same each time.
        return region === CONFIG_REGION || this.#isLayout(object, region, offset)
          ? Applies.ONCE
          : Applies.NEVER;
      default:
        return isAccess(kind) && this.#isLayout(object, region, offset) && kind === EventKind.LOAD
          ? Applies.ONCE
          : Applies.NEVER;
    }
  }

  #isLayout(object: number, region: number, offset: bigint): boolean {
    if (!isDevice(this.session.names.kind(object))) return false;
    return this.session.device(object)?.registers.isLayout(region, Number(offset)) ?? false;
  }
}

/** A 32-bit word of a row's argument, at `at`, from the segment of this role: no object is made. */
export class PayloadCursor {
  #batch: EventBatch | undefined;
  /** Of the batch: the next one is in the same object. */
  #firstEvent = -1;
  #at = 0;

  /** Rows are to be asked for in order. Undefined: there is none, or it is too short. */
  word(batch: EventBatch, row: number, at: number, role: number = PayloadRole.IN): number | undefined {
    const start = this.#start(batch, row, at + 4, role);
    if (start < 0) return undefined;
    const { bytes } = batch.payloads;
    const i = start + at;
    return (
      ((bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24)) >>>
      0
    );
  }

  /** Exact up to 2^53. */
  number(batch: EventBatch, row: number, at: number, role: number = PayloadRole.IN): number | undefined {
    const low = this.word(batch, row, at, role);
    const high = this.word(batch, row, at + 4, role);
    return low === undefined || high === undefined ? undefined : low + high * 0x1_0000_0000;
  }

  #start(batch: EventBatch, row: number, bytes: number, role: number): number {
    const { payloads } = batch;
    const isOther = batch !== this.#batch || batch.firstEvent !== this.#firstEvent;
    if (isOther || (payloads.event[this.#at] ?? 0) > row) {
      this.#batch = batch;
      this.#firstEvent = batch.firstEvent;
      this.#at = 0;
    }
    while (this.#at < payloads.length && (payloads.event[this.#at] as number) < row) this.#at++;
    for (let n = this.#at; n < payloads.length && payloads.event[n] === row; n++) {
      if (payloads.role[n] === role)
        return (payloads.size[n] as number) >= bytes ? (payloads.start[n] as number) : -1;
    }
    return -1;
  }
}
