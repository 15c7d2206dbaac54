// SPDX-License-Identifier: Apache-2.0
/** One pass over a trace, by its groups, that tells each device's phases what happened to it. */
import { IRQ_SET } from '../../abi/vfio/irqs.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import { EventBatch } from '../../traces/columns.js';
import type { EventGroups } from '../../traces/event-groups.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { EventName } from '../groups/event-name.js';
import { DMA_CALLS, GroupFollower, PayloadCursor } from '../groups/follow.js';
import { movedBytes, payloadOf } from '../payloads.js';
import { AddressSpaces } from '../story/address-spaces.js';
import type { DevicePhases } from './device-phases.js';
import { FollowedDevice } from './followed-device.js';
import { ioctlMark, irqsMark, RESETS } from './marks.js';
import type { Mark } from './set-up.js';

/** They say which address space a device is in. */
const ATTACHING: ReadonlySet<string> = new Set([
  'VFIO_GROUP_SET_CONTAINER',
  'VFIO_GROUP_UNSET_CONTAINER',
  'VFIO_DEVICE_BIND_IOMMUFD',
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  'VFIO_DEVICE_DETACH_IOMMUFD_PT',
  'IOMMU_HWPT_ALLOC',
]);
/** A file may have any number of opens: those after these have no phases. */
const DEVICES_MAX = 1 << 10;
const NOTHING = new Uint8Array(0);

/** What is done for the rows of a group: nothing, one mark, or what a function does and the state's part. */
interface Plan {
  readonly device?: FollowedDevice | undefined;
  readonly mark?: Mark;
  /** `alike`: the row from which the columns may be read that the group has in common. */
  readonly look?: (row: number, alike: number) => void;
  /** The next row is to be planned anew. */
  readonly once?: boolean;
  /** The state wants to see it. */
  readonly applies?: boolean;
}

/** Of a plan, in the order in which they matter. Marks are of no interest while all devices work. */
const Code = { NOTHING: 0, MARK: 1, LOOK: 2, UNPLANNED: 3 } as const;

export class Pass {
  readonly devices = new Map<number, FollowedDevice>();
  readonly #trace: Trace;
  readonly #mayBegin: (event: number) => void;
  readonly #follower: GroupFollower;
  readonly #spaces: AddressSpaces;
  readonly #payloads = new PayloadCursor();
  readonly #phases: DevicePhases[] = [];
  #batch = new EventBatch(1);
  /** By the number of a group. */
  #plans: (Plan | undefined)[] = [];
  /** Of the present batch, by group. */
  #codes = new Uint8Array(0);
  #epoch = 0;
  /** Number of the event that is looked at. */
  #event = 0;
  /** The first call on what a device is opened through, since the last device was opened. */
  #opening: number | undefined;
  events = 0;

  /**
   * `mayBegin` is told of each event that a phase may turn out to begin with, before `follow` has returned from that event's batch:
   * none begins elsewhere.
   */
  constructor(trace: Trace, mayBegin: (event: number) => void = () => undefined) {
    this.#trace = trace;
    this.#mayBegin = mayBegin;
    this.#follower = new GroupFollower(trace, (change) => {
      if (change.type !== 'unmapped') return;
      for (const { object } of change.mappings) this.devices.get(object)?.undo(this.#event);
    });
    this.#spaces = new AddressSpaces(this.#follower.session);
  }

  /** From this event on to the end. */
  run(from = 0): this {
    for (const batch of this.#trace.batches({ from, groups: true, columns: ['value'] })) this.follow(batch);
    return this;
  }

  /** The next batch: with groups, values and payloads. */
  follow(batch: EventBatch): void {
    const { firstEvent, begin, end } = batch;
    const groups = this.#follower.begin(batch);
    const { of, numbers } = groups;
    this.#batch = batch;
    this.#begin(groups);
    const codes = this.#codes;
    let passedOver = this.#passedOver();
    for (let row = begin; row < end; row++) {
      const group = of[row] as number;
      if ((codes[group] as number) <= passedOver) continue;
      if (codes[group] === Code.UNPLANNED) {
        this.#event = firstEvent + row;
        const plan = this.#plan(batch, groups.rows[group] as number, group);
        this.#plans[numbers[group] as number] = plan;
        codes[group] = codeOf(plan);
      }
      const plan = this.#plans[numbers[group] as number] as Plan;
      if (codes[group] === Code.LOOK) this.#look(plan, groups, group, row);
      else {
        plan.device?.phases.mark(plan.mark ?? 'open', firstEvent + row);
        if (plan.mark !== 'work') continue;
      }
      passedOver = this.#passedOver();
    }
    this.events = firstEvent + end;
  }

  #begin({ count, numbers }: EventGroups): void {
    if (this.#codes.length < count) this.#codes = new Uint8Array(count);
    if (this.#epoch !== this.#follower.epoch) this.#stale();
    for (let group = 0; group < count; group++) {
      const plan = this.#plans[numbers[group] as number];
      this.#codes[group] = plan === undefined ? Code.UNPLANNED : codeOf(plan);
    }
  }

  #passedOver(): number {
    const all = this.#phases;
    for (let n = 0; n < all.length; n++) if (all[n]?.isSettled === false) return Code.NOTHING;
    return Code.MARK;
  }

  #look(plan: Plan, { numbers, rows }: EventGroups, group: number, row: number): void {
    const { look, once, applies, device, mark } = plan;
    const event = this.#batch.firstEvent + row;
    this.#event = event;
    look?.(row, rows[group] as number);
    device?.phases.mark(mark ?? 'open', event);
    if (applies === true && !this.#follower.apply(group, row) && look === undefined) {
      const learned = { ...plan, applies: false };
      this.#plans[numbers[group] as number] = learned;
      this.#codes[group] = codeOf(learned);
    }
    if (this.#epoch !== this.#follower.epoch) this.#stale();
    else if (once === true) {
      this.#plans[numbers[group] as number] = undefined;
      this.#codes[group] = Code.UNPLANNED;
    }
  }

  /** What was planned depended on what has changed now. */
  #stale(): void {
    this.#epoch = this.#follower.epoch;
    this.#plans = [];
    this.#codes.fill(Code.UNPLANNED);
  }

  #device(object: number): FollowedDevice | undefined {
    const known = this.devices.get(object);
    if (known !== undefined || this.devices.size >= DEVICES_MAX) return known;
    if (this.#follower.session.device(object) === undefined) return undefined;
    const device = new FollowedDevice(this.#follower.session, object, this.#event, this.#mayBegin);
    device.phases.mark('open', this.#opening ?? this.#event);
    this.#opening = undefined;
    this.devices.set(object, device);
    this.#phases.push(device.phases);
    this.#stale();
    return device;
  }

  #seen(row: number, alike: number): Event {
    return eventOfRow(this.#trace, this.#batch, row, alike);
  }

  /** It is kept for other batches: of this one it may only know what the group has in common. */
  #plan(batch: EventBatch, alike: number, group: number): Plan {
    const name = this.#follower.name(group);
    const ok = batch.errno[alike] === 0;
    const flags = batch.flags[alike] as number;
    const applies = this.#follower.applies(group);
    const nothing: Plan = { applies };
    switch (name.kind) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return { ...nothing, ...this.#access(name, flags) };
      case EventKind.READ:
      case EventKind.WRITE:
        if (name.region < 0) return nothing;
        if (name.region !== CONFIG_REGION) return ok ? { ...nothing, ...this.#access(name, flags) } : nothing;
        return { ...nothing, ...this.#config(name) };
      case EventKind.MMAP: {
        const device = this.#device(name.object);
        const place = this.#follower.session.device(name.object)?.locate(name.offset);
        return place === undefined ? nothing : { ...nothing, device, mark: 'access' };
      }
      case EventKind.IOCTL:
        return { ...nothing, ...this.#ioctl(name, ok) };
      case EventKind.OPEN:
        return { ...nothing, look: () => this.#opens(name.object) };
      case EventKind.CLOSE:
        // The descriptors are looked up before the state forgets them.
        return { ...nothing, applies: false, look: (row, alike) => this.#close(this.#seen(row, alike), ok) };
      case EventKind.EXIT:
        return { ...nothing, look: (row, alike) => this.#exit(this.#seen(row, alike)) };
      default:
        return nothing;
    }
  }

  /** A device itself, where it has a file of its own. */
  #opens(object: number): void {
    if (this.#opening === undefined) {
      this.#mayBegin(this.#event);
      this.#opening = this.#event;
    }
    this.#device(object);
  }

  #access(name: EventName, flags: number): Plan {
    const device = this.#device(name.object);
    if (device === undefined) return {};
    const reading = name.kind === EventKind.LOAD || name.kind === EventKind.READ;
    const mark = device.steadyMark(name, reading);
    if (mark !== undefined) return { device, mark };
    const look = (row: number): void => {
      const resets = device.resets;
      device.access(name, reading, flags, this.#batch.value[row] as bigint, this.#event);
      // It changes what others mean.
      if (device.resets !== resets) this.#stale();
    };
    // From the next one on it may be the same each time.
    return { look, once: true };
  }

  #config(name: EventName): Plan {
    const device = this.#device(name.object);
    const reading = name.kind === EventKind.READ;
    const offset = Number(name.offset);
    if (device === undefined) return {};
    if (!device.watchesConfig(offset, name.width, reading)) return { device, mark: 'config' };
    const type = reading ? 'config-read' : 'config-write';
    let latest: bigint | undefined;
    let at = 0;
    const look = (row: number, alike: number): void => {
      const value = this.#batch.value[row] as bigint;
      if (reading && value === latest && at === device.configs) {
        device.phases.mark('config', this.#event);
        return;
      }
      device.configs++;
      latest = value;
      at = device.configs;
      const seen = this.#seen(row, alike);
      const process = this.#follower.session.processOf(seen);
      const resets = device.resets;
      device.config({ type, event: seen, process, ok: seen.errno === 0, offset, bytes: movedBytes(seen) });
      if (device.resets !== resets) this.#stale();
    };
    return { look };
  }

  #ioctl({ object, operation }: EventName, ok: boolean): Plan {
    if (DMA_CALLS.has(operation)) {
      const isAllKnown = [...this.devices.values()].every(({ isKnown }) => isKnown);
      return isAllKnown || !ok ? {} : { look: () => this.#mapped(object, operation) };
    }
    const attaches = ATTACHING.has(operation);
    const attach = (row: number, alike: number): void => {
      if (!attaches) return;
      this.#attach(this.#seen(row, alike), operation);
      this.#stale();
    };
    const device = this.#device(object);
    if (device === undefined)
      return {
        look: (row, alike) => {
          this.#opens(object);
          attach(row, alike);
        },
      };
    if (operation === 'VFIO_DEVICE_SET_IRQS') return { look: (row) => this.#irqs(device, row) };
    if (RESETS.has(operation)) {
      if (!ok) return {};
      return {
        look: () => {
          device.mark('reset', this.#event);
          this.#stale();
        },
      };
    }
    const mark = device.isKnown ? 'open' : ioctlMark(operation);
    return { device, mark, ...(attaches && { look: attach }) };
  }

  #irqs(device: FollowedDevice, row: number): void {
    const { flags, count } = IRQ_SET.fields;
    const mark = irqsMark(
      this.#payloads.word(this.#batch, row, flags.offset) ?? 0,
      this.#payloads.word(this.#batch, row, count.offset) ?? 0,
    );
    if (mark === 'ending') device.undo(this.#event);
    else if (mark === 'queues' && !device.isKnown) device.phases.mark(mark, this.#event);
  }

  #attach(event: Event, name: string): void {
    const { session } = this.#follower;
    const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
    this.#spaces.apply({
      event,
      process: session.processOf(event),
      ok: event.errno === 0,
      name,
      object: event.object,
      objectKind: session.names.kind(event.object),
      before,
      after: payloadOf(event, PayloadRole.OUT) ?? before,
    });
  }

  /** What is mapped for DMA, or no more. `object`: the container, the iommufd, the device of 2010. */
  #mapped(object: number, operation: string): void {
    for (const device of this.devices.values()) {
      if (device.isKnown || device.closed || this.#spaces.of(device.object)?.object !== object) continue;
      if (operation.includes('UNMAP')) device.undo(this.#event);
      else device.phases.mark('queues', this.#event);
    }
  }

  #close(event: Event, ok: boolean): void {
    const { session } = this.#follower;
    const { descriptors } = session;
    const last = event.op === 1 ? Number(BigInt.asUintN(32, event.offset)) : event.fd;
    const objects = ok ? descriptors.between(session.processOf(event), event.fd, last) : [];
    session.apply(event);
    this.#gone(objects);
  }

  #exit(event: Event): void {
    const { session } = this.#follower;
    const objects = session.descriptors.end(session.processOf(event));
    this.#gone(objects.filter((object) => !session.descriptors.holds(object)));
  }

  /** The device, or what it was opened through. */
  #gone(objects: readonly number[]): void {
    const spaces = this.#spaces;
    for (const device of this.devices.values()) {
      const group = spaces.group(device.object);
      const through = [device.object, group, spaces.container(group), spaces.iommufd(device.object)];
      if (objects.some((object) => object !== 0 && through.includes(object))) device.undo(this.#event);
      if (objects.includes(device.object) && !this.#follower.session.descriptors.holds(device.object)) {
        device.closed = true;
        this.#stale();
      }
    }
  }
}

function codeOf({ device, look, applies }: Plan): number {
  if (look !== undefined || applies === true) return Code.LOOK;
  return device === undefined ? Code.NOTHING : Code.MARK;
}
