// SPDX-License-Identifier: Apache-2.0
/**
 * Which of the events before a window it needs: what made the objects that are open then, what is mapped, what
 * configuration space and registers were made to hold, where interrupts go.
 */
import { findIoctl } from '../../abi/ioctls.js';
import { IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { decode, readU32 } from '../../abi/layout.js';
import { EVENTFD, isDevice, LYON_NETLINK, SYSFS } from '../../abi/object-kinds.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { isPeek } from '../netlink.js';
import { payloadOf } from '../payloads.js';
import { Session } from '../state.js';

/** What is done more often than this is work, not set-up: a doorbell. The last time counts. */
const WORK = 64;
/** Calls and registers that are told apart; those beyond are all kept. */
const KEYS_MOST = 1 << 20;
const CLOSE_RANGE = 1;
const NOTHING = new Uint8Array();

interface Times {
  count: number;
  first: number;
  last: number;
}

interface DmaRange {
  readonly map: boolean;
  readonly ioas: number;
  readonly start: bigint;
  readonly length: bigint;
}

export class SetUp {
  readonly #session: Session;
  readonly #times = new Map<string, Times>();
  /** Objects that events of the window are about. */
  readonly #wanted = new Set<number>();
  readonly #needed = new Set<number>();

  /** `from` is the window's first event, `end` the one behind its last. */
  constructor(trace: Trace, from: number, end: number) {
    this.#session = new Session(trace.definitions);
    for (const event of trace.events({ from: 0, to: from })) {
      this.#session.apply(event);
      const key = this.#keyOf(event);
      if (key === undefined) continue;
      const times = this.#times.get(key);
      if (times !== undefined) {
        times.count++;
        times.last = event.number;
      } else if (this.#times.size < KEYS_MOST)
        this.#times.set(key, { count: 1, first: event.number, last: event.number });
    }
    for (const batch of trace.batches({ from, to: end, columns: ['object'], payloads: false }))
      for (let row = batch.begin; row < batch.end; row++) this.#wanted.add(batch.object[row] as number);
    for (const id of trace.definitions.objects.keys())
      if (this.#wanted.has(id) || this.#session.descriptors.holds(id)) this.#need(id);
  }

  /** With what it came out of: a device's group, the group's container is open or named by its own events. */
  #need(id: number): void {
    const object = this.#session.definitions.objects.get(id);
    if (object === undefined || this.#needed.has(id)) return;
    this.#needed.add(id);
    this.#need(object.parent);
  }

  needs(event: Event): boolean {
    switch (event.kind) {
      case EventKind.THREAD:
      case EventKind.PROCESS:
      case EventKind.FORK:
      case EventKind.EXEC:
      case EventKind.LOST:
        return true;
      case EventKind.OPEN:
      case EventKind.DUP:
      case EventKind.EVENTFD:
      case EventKind.RECV_FD:
      case EventKind.UNSEEN:
        return this.#needed.has(event.object);
      case EventKind.CLOSE:
        return event.op === CLOSE_RANGE || this.#needed.has(event.object);
      case EventKind.IOCTL:
        return this.#needsIoctl(event);
      case EventKind.MMAP:
        return this.#isMapped(event);
      case EventKind.READ:
      case EventKind.LOAD:
      case EventKind.WRITE:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return this.#needed.has(event.object) && this.#counts(event);
      default:
        return false;
    }
  }

  #isMapped({ errno, object, result, value, thread }: Event): boolean {
    if (errno !== 0 || !this.#needed.has(object)) return false;
    const process = this.#session.definitions.threads.get(thread)?.process ?? 0;
    return this.#session.mappings
      .within(process, BigInt.asUintN(64, result), value)
      .some((mapping) => mapping.object === object);
  }

  #needsIoctl(event: Event): boolean {
    if (!this.#needed.has(event.object)) return false;
    // An object that it made and that is gone: a device that was only looked at.
    const made = payloadOf(event, PayloadRole.KIND);
    const returnsObject = findIoctl(this.#session.names.kind(event.object), event.op)?.returns === 'fd';
    if (returnsObject && made !== undefined && made.length >= 8 && !this.#needed.has(readU32(made, 4)))
      return false;
    const range = this.#dmaRange(event);
    if (range === undefined) return this.#counts(event);
    if (!range.map || event.errno !== 0) return false;
    return this.#session.dma
      .space(event.object, range.ioas)
      .within(range.start, range.length)
      .some(({ start }) => start >= range.start);
  }

  /** A map that is gone by then, and what took it away, are both left out. */
  #dmaRange(event: Event): DmaRange | undefined {
    const name = findIoctl(this.#session.names.kind(event.object), event.op)?.name;
    const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
    const after = payloadOf(event, PayloadRole.OUT) ?? before;
    switch (name) {
      case 'VFIO_IOMMU_MAP_DMA': {
        const { iova = 0n, size = 0n } = decode(DMA_MAP, before);
        return { map: true, ioas: 0, start: iova, length: size };
      }
      case 'VFIO_IOMMU_UNMAP_DMA': {
        const { iova = 0n, size = 0n } = decode(DMA_UNMAP, before);
        return { map: false, ioas: 0, start: iova, length: size };
      }
      case 'IOMMU_IOAS_MAP': {
        const { ioas_id = 0, length = 0n } = decode(IOAS_MAP, before);
        return { map: true, ioas: ioas_id, start: decode(IOAS_MAP, after).iova ?? 0n, length };
      }
      case 'IOMMU_IOAS_UNMAP': {
        const { ioas_id = 0, iova = 0n, length = 0n } = decode(IOAS_UNMAP, before);
        return { map: false, ioas: ioas_id, start: iova, length };
      }
      default:
        return undefined;
    }
  }

  /** Of what changes the device each time, unless it is work; of what was only read, the first and the last time. */
  #counts(event: Event): boolean {
    const key = this.#keyOf(event);
    const times = key === undefined ? undefined : this.#times.get(key);
    if (key === undefined) return false;
    if (times === undefined || event.number === times.last) return true;
    const isRead = event.kind === EventKind.READ || event.kind === EventKind.LOAD;
    return isRead ? event.number === times.first : times.count <= WORK;
  }

  /** What it does, by name; undefined for what leaves nothing behind. */
  #keyOf(event: Event): string | undefined {
    const kind = this.#session.names.kind(event.object);
    switch (event.kind) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return `${event.kind} ${event.object} ${event.op & 0xffff} ${event.offset}`;
      case EventKind.READ:
      case EventKind.WRITE:
        if (kind === LYON_NETLINK) return netlinkKey(event);
        return isDevice(kind) ? `${event.kind} ${event.object} ${event.op} ${event.offset}` : undefined;
      case EventKind.IOCTL: {
        if (kind === EVENTFD || kind === SYSFS) return undefined;
        const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
        return `${event.kind} ${event.object} ${event.op} ${event.value * (before.length === 0 ? 1n : 0n)} ${Buffer.from(before).toString('latin1')}`;
      }
      default:
        return undefined;
    }
  }
}

/** What was registered for, and what was answered to that. */
function netlinkKey(event: Event): string | undefined {
  if (event.errno !== 0 || isPeek(event)) return undefined;
  const bytes = payloadOf(event, PayloadRole.DATA) ?? NOTHING;
  return `${event.kind} ${event.object} ${Buffer.from(bytes).toString('latin1')}`;
}
