// SPDX-License-Identifier: Apache-2.0
/**
 * Reissues a recorded session: the trace plays the driver. Descriptors, addresses, ids and eventfds take the values
 * that they have here; everything that comes back is compared with what was recorded.
 */
import { findIoctl } from '../../abi/ioctls.js';
import { decode, type Field, fieldText, type Layout } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import * as kinds from '../../abi/object-kinds.js';
import { touchedRegisters } from '../../abi/register-access.js';
import { hex, hexWidth } from '../../abi/text.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { CONFIG_REGION, defaultRegionOffset, regionName } from '../../abi/vfio/regions.js';
import { DmaMaps } from '../../session/dma.js';
import { payloadBytes, payloadOf } from '../../session/payloads.js';
import { Session } from '../../session/state.js';
import { eventOfRow } from '../../session/story/row.js';
import type { EventBatch } from '../../traces/columns.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { Divergence, DivergenceKind, Omission, ReplayReport } from './divergence.js';
import { handlingOf, type Remapping } from './ioctl-arguments.js';
import type { Masks } from './masks.js';
import { type Pace, paceOf } from './pace.js';
import { type LoadPlace, LoadRun } from './polling.js';
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from './target.js';

export interface ReplayOptions {
  readonly masks: Masks;
  readonly pace: 'recorded' | 'fast';
  /** Compared from this event on; what comes before is reissued all the same. */
  readonly from: number;
  /** Reissued up to this event, and not further. */
  readonly to: number;
  readonly stopAtDivergence: boolean;
  /** Of a register that is waited for, ns. */
  readonly patienceNs: number;
}

const DIVERGENCES_KEPT = 1000;
const TRIES_LEAST = 1;

interface OpenDevice {
  readonly fd: number;
  /** Where the target has each region. */
  readonly offsets: Map<number, bigint>;
  readonly mappings: Map<
    number,
    { readonly mapping: TargetMapping; readonly start: bigint; readonly end: bigint }[]
  >;
}

/** One operation was made. */
export interface Progress {
  readonly event: number;
}

export class Replay {
  readonly #trace: Trace;
  readonly #target: Target;
  readonly #options: ReplayOptions;
  readonly #session: Session;
  readonly #pace: Pace;
  /** Descriptors of the target by recorded object. */
  readonly #fds = new Map<number, number>();
  readonly #devices = new Map<number, OpenDevice>();
  readonly #eventfds = new Map<number, TargetEventfd>();
  /** Eventfds that were read at least once in the recording. */
  readonly #heard = new Set<number>();
  readonly #memory = new DmaMaps();
  readonly #allocated = new Map<bigint, TargetMemory>();
  readonly #ids = new Map<string, number>();
  readonly #omissions = new Map<string, { count: number; readonly event: number }>();
  readonly #divergences: Divergence[] = [];
  readonly #counts: Record<DivergenceKind, number> = {
    value: 0,
    field: 0,
    result: 0,
    errno: 0,
    interrupt: 0,
    fault: 0,
  };
  readonly #remapping: Remapping;
  /** The device that is replayed: the first one of the recording. */
  #chosen: string | undefined;
  #run: LoadRun | undefined;
  #runAgain: (() => bigint | undefined) | undefined;
  #events = 0;
  #operations = 0;
  #compared = 0;
  #masked = 0;
  #event = 0;

  constructor(trace: Trace, target: Target, options: ReplayOptions) {
    this.#trace = trace;
    this.#target = target;
    this.#options = options;
    this.#session = new Session(trace.definitions);
    this.#pace = paceOf(options.pace);
    this.#remapping = this.#makeRemapping();
  }

  get divergences(): readonly Divergence[] {
    return this.#divergences;
  }

  /** Ends at the last event, or where the options say; `report` tells the rest. Closing the target is the caller's. */
  *run(): Generator<Progress, ReplayReport, undefined> {
    const started = process.hrtime.bigint();
    const { to, stopAtDivergence } = this.#options;
    let stopped: string | undefined;
    const progress = { event: 0 };
    events: for (const batch of this.#trace.batches({ to })) {
      for (let row = batch.begin; row < batch.end; row++) {
        this.#event = batch.firstEvent + row;
        this.#events++;
        if (this.#reissue(batch, row)) {
          progress.event = this.#event;
          yield progress;
        }
        if (stopAtDivergence && this.#divergences.length > 0) {
          stopped = `at the first divergence, event ${this.#divergences[0]?.event}`;
          break events;
        }
      }
    }
    this.#endRun();
    if (stopped === undefined) this.#leftOverInterrupts();
    return {
      target: this.#target.label,
      events: this.#events,
      operations: this.#operations,
      compared: this.#compared,
      masked: this.#masked,
      divergences: this.#divergences,
      counts: this.#counts,
      omissions: this.#omitted(),
      stopped,
      durationNs: Number(process.hrtime.bigint() - started),
    };
  }

  #omitted(): readonly Omission[] {
    return [...this.#omissions].map(([reason, { count, event }]) => ({ reason, count, event }));
  }

  /** Whether something was done. */
  #reissue(batch: EventBatch, row: number): boolean {
    switch (batch.kind[row]) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return this.#access(batch, row);
      case EventKind.CLOCK:
      case EventKind.THREAD:
      case EventKind.PROCESS:
      case EventKind.WAKE:
      case EventKind.SITE:
      case EventKind.LSEEK:
      case EventKind.MPROTECT:
      case EventKind.MADVISE:
      case EventKind.FORK:
      case EventKind.EXEC:
      case EventKind.EXIT:
      case EventKind.SIGNAL:
      case EventKind.DMA:
      case EventKind.INTERRUPT:
        return false;
      default:
        this.#endRun();
        return this.#call(eventOfRow(this.#trace, batch, row));
    }
  }

  #call(event: Event): boolean {
    if ((event.flags & EventFlag.INTENT) !== 0) {
      this.#omit('a call that never returned');
      this.#session.apply(event);
      return false;
    }
    switch (event.kind) {
      case EventKind.OPEN:
        this.#session.apply(event);
        return this.#open(event);
      case EventKind.IOCTL:
        return this.#ioctl(event);
      case EventKind.READ:
      case EventKind.WRITE: {
        const done = this.#transfer(event);
        this.#session.apply(event);
        return done;
      }
      case EventKind.MMAP: {
        this.#session.apply(event);
        return this.#mmap(event);
      }
      case EventKind.CLOSE:
        return this.#close(event);
      case EventKind.LOST:
        this.#omit('events that the recorder lost');
        return false;
      case EventKind.UNSEEN:
        this.#omit('a descriptor that the recorder did not see opened');
        this.#session.apply(event);
        return false;
      default:
        this.#session.apply(event);
        return false;
    }
  }

  // --- descriptors -------------------------------------------------------------------------------------------

  #open(event: Event): boolean {
    const kind = this.#session.names.kind(event.object);
    const path = this.#pathFor(event, kind);
    if (path === undefined) return false;
    this.#pace.wait(event.time);
    this.#operations++;
    const fd = this.#target.open(path);
    this.#compareErrno(event, `open ${path}`, fd < 0 ? -fd : 0);
    if (fd < 0 || event.object === 0) return true;
    this.#fds.set(event.object, fd);
    if (kinds.isDevice(kind)) this.#addDevice(event.object, fd);
    return true;
  }

  /** The same kind of file on the target; undefined for what is no business of VFIO's. */
  #pathFor(event: Event, kind: number): string | undefined {
    switch (kind) {
      case kinds.CONTAINER:
        return '/dev/vfio/vfio';
      case kinds.IOMMUFD:
        return '/dev/iommu';
      case kinds.GROUP:
      case kinds.NOIOMMU_GROUP:
        if (!this.#isChosenGroup(event.object)) {
          this.#omit('a group of another device');
          return undefined;
        }
        return this.#target.groupPath;
      case kinds.CDEV:
        if (!this.#isChosen(event.object)) {
          this.#omit('another device');
          return undefined;
        }
        if (this.#target.cdevPath === undefined) this.#omit('a device node that the target does not have');
        return this.#target.cdevPath;
      case kinds.LYON_DEVICE:
        this.#omit('the interface of 2010, which the target does not have');
        return undefined;
      default:
        return undefined;
    }
  }

  #addDevice(object: number, fd: number): void {
    this.#devices.set(object, { fd, offsets: new Map(), mappings: new Map() });
  }

  /** Only one device of a recording can be the target's. */
  #isChosen(object: number): boolean {
    const bdf = this.#session.names.device(object)?.bdf;
    if (bdf === undefined) return true;
    this.#chosen ??= bdf;
    return bdf === this.#chosen;
  }

  /** A group leads to the device, or to nothing that is in the recording. */
  #isChosenGroup(group: number): boolean {
    const devices = [...this.#trace.definitions.objects.values()].filter(({ parent }) => parent === group);
    return devices.length === 0 || devices.some(({ id }) => this.#isChosen(id));
  }

  #close(event: Event): boolean {
    const process = this.#session.processOf(event);
    const last = event.op === 1 ? Number(BigInt.asUintN(32, event.offset)) : event.fd;
    const objects = event.errno === 0 ? this.#session.descriptors.between(process, event.fd, last) : [];
    this.#session.apply(event);
    let done = false;
    for (const object of objects) {
      if (this.#session.descriptors.holds(object)) continue;
      const fd = this.#fds.get(object);
      if (fd === undefined) continue;
      this.#pace.wait(event.time);
      this.#target.close(fd);
      this.#fds.delete(object);
      this.#operations++;
      done = true;
    }
    return done;
  }

  #eventfd(object: number): TargetEventfd {
    let eventfd = this.#eventfds.get(object);
    if (eventfd === undefined) {
      eventfd = this.#target.eventfd();
      this.#eventfds.set(object, eventfd);
    }
    return eventfd;
  }

  #makeRemapping(): Remapping {
    return {
      descriptor: (event, fd) => {
        const object = this.#session.descriptors.get(this.#session.processOf(event), fd);
        if (object === undefined) return undefined;
        if (this.#session.names.kind(object) === kinds.EVENTFD) return this.#eventfd(object).fd;
        return this.#fds.get(object);
      },
      eventfd: (object) => this.#eventfd(object).fd,
      mapMemory: (space, iova, length) => {
        const memory = this.#target.memory(length);
        this.#allocated.set(memory.address, memory);
        const [object = 0, ioas = 0] = space.split('/').map(Number);
        const mapping = { start: iova, length, address: memory.address, readable: true, writable: true };
        this.#memory.map(object, ioas, mapping);
        return memory.address;
      },
      unmapMemory: (space, iova, length) => {
        const [object = 0, ioas = 0] = space.split('/').map(Number);
        for (const { address, start, length: held } of this.#memory.unmap(object, ioas, iova, length)) {
          if (start < iova || start + held > iova + length) continue;
          this.#allocated.get(address)?.free();
          this.#allocated.delete(address);
        }
      },
      id: (iommufd, recorded) => this.#ids.get(`${this.#iommufdOf(iommufd)}/${recorded}`),
      learnId: (iommufd, recorded, seen) => {
        this.#ids.set(`${this.#iommufdOf(iommufd)}/${recorded}`, seen);
      },
    };
  }

  /** Ids are an iommufd's; a device's calls name those of the one it is bound to, and a session has one. */
  #iommufdOf(object: number): number {
    if (this.#session.names.kind(object) === kinds.IOMMUFD) return object;
    for (const held of this.#fds.keys()) if (this.#session.names.kind(held) === kinds.IOMMUFD) return held;
    return object;
  }

  // --- ioctls ------------------------------------------------------------------------------------------------

  #ioctl(event: Event): boolean {
    const kind = this.#session.names.kind(event.object);
    const done = this.#reissueIoctl(event, kind);
    this.#session.apply(event);
    return done;
  }

  #reissueIoctl(event: Event, kind: number): boolean {
    if (kind === kinds.KVM || kind === kinds.KVM_VM) return false;
    const found = findIoctl(kind, event.op);
    const fd = this.#fds.get(event.object);
    if (fd === undefined) {
      if (kind !== 0) this.#omit('calls on descriptors that the replay does not have');
      return false;
    }
    if (found === undefined) {
      this.#omit(`ioctls that no table knows (${hex(event.op)})`);
      return false;
    }
    const { name, argument } = found;
    if (name === 'VFIO_GROUP_GET_DEVICE_FD') return this.#getDevice(event, fd);
    const handling = handlingOf(name);
    const before = payloadOf(event, PayloadRole.IN);
    if (argument.kind !== 'struct' || before === undefined) {
      if (argument.kind === 'struct') {
        this.#omit('ioctls whose argument was not recorded');
        return false;
      }
      this.#pace.wait(event.time);
      this.#operations++;
      const result = this.#target.ioctlValue(fd, event.op, argument.kind === 'value' ? event.value : 0n);
      this.#target.settle();
      this.#compareResult(event, name, result, found.returns === 'number');
      return true;
    }
    const bytes = before.slice();
    const reason = handling.patch?.(bytes, this.#remapping, event);
    if (reason !== undefined) {
      this.#omit(`${name}: ${reason}`);
      return false;
    }
    const pointed = this.#pointers(event, bytes);
    this.#pace.wait(event.time);
    this.#operations++;
    const result = this.#target.ioctl(fd, event.op, bytes);
    this.#target.settle();
    for (const memory of pointed) memory.free();
    this.#compareResult(event, name, result, found.returns === 'number');
    if (result < 0 || event.errno !== 0) return true;
    const recorded = payloadOf(event, PayloadRole.OUT) ?? before;
    handling.learn?.(before, recorded, bytes, this.#remapping, event);
    if (name === 'VFIO_DEVICE_GET_REGION_INFO') this.#learnRegion(event.object, bytes);
    this.#compareFields(event, name, argument.layout, recorded, bytes, handling.ignore ?? []);
    return true;
  }

  /** Buffers that the structure points to, at addresses of the target. */
  #pointers(event: Event, bytes: Uint8Array): readonly TargetMemory[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const made: TargetMemory[] = [];
    for (const { role, address, data } of event.payloads) {
      if ((role !== PayloadRole.POINTED && role !== PayloadRole.POINTED_OUT) || address === 0n) continue;
      for (let at = 0; at + 8 <= bytes.length; at += 8) {
        if (view.getBigUint64(at, true) !== address) continue;
        const memory = this.#target.memory(BigInt(Math.max(data.length, 1)));
        if (role === PayloadRole.POINTED) memory.write(0, data);
        view.setBigUint64(at, memory.address, true);
        made.push(memory);
        break;
      }
    }
    return made;
  }

  #getDevice(event: Event, fd: number): boolean {
    const bytes = payloadBytes(event, PayloadRole.KIND);
    const object =
      bytes === undefined || bytes.length < 8
        ? 0
        : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    if (object !== 0 && !this.#isChosen(object)) {
      this.#omit('another device');
      return false;
    }
    this.#pace.wait(event.time);
    this.#operations++;
    const name = new TextEncoder().encode(`${this.#target.bdf}\0`);
    const result = this.#target.ioctl(fd, event.op, name);
    this.#compareErrno(event, 'VFIO_GROUP_GET_DEVICE_FD', result < 0 ? -result : 0);
    if (result < 0 || object === 0) return true;
    this.#fds.set(object, result);
    this.#addDevice(object, result);
    return true;
  }

  #learnRegion(object: number, bytes: Uint8Array): void {
    const { index, offset } = decode(REGION_INFO, bytes);
    if (index !== undefined && offset !== undefined) this.#devices.get(object)?.offsets.set(index, offset);
  }

  #compareFields(
    event: Event,
    name: string,
    layout: Layout,
    recorded: Uint8Array,
    seen: Uint8Array,
    ignore: readonly string[],
  ): void {
    const was = decode(layout, recorded) as Readonly<Record<string, number | bigint>>;
    const is = decode(layout, seen) as Readonly<Record<string, number | bigint>>;
    for (const [field, description] of Object.entries(layout.fields)) {
      if ((description as Field).direction === undefined || (description as Field).direction === 'in')
        continue;
      if (ignore.includes(field)) continue;
      const [a, b] = [was[field], is[field]];
      if (a === undefined || b === undefined) continue;
      this.#compare();
      if (a === b) continue;
      this.#diverge(
        'field',
        event.number,
        event.object,
        `${name} ${field}`,
        fieldText(description, a),
        fieldText(description, b),
      );
    }
  }

  #compareResult(event: Event, what: string, result: number, isNumber: boolean): void {
    if (!this.#compareErrno(event, what, result < 0 ? -result : 0) || !isNumber || result < 0) return;
    this.#compare();
    if (event.result !== BigInt(result))
      this.#diverge('result', event.number, event.object, what, String(event.result), String(result));
  }

  /** Whether both failed in the same way, or neither did. */
  #compareErrno(event: Event, what: string, errno: number): boolean {
    this.#compare();
    if (event.errno === errno) return true;
    const text = (number: number) => (number === 0 ? 'success' : errnoName(number));
    this.#diverge('errno', event.number, event.object, what, text(event.errno), text(errno));
    return false;
  }

  // --- configuration space and regions through the descriptor ------------------------------------------------

  #transfer(event: Event): boolean {
    const kind = this.#session.names.kind(event.object);
    if (kind === kinds.EVENTFD) return this.#eventfdTransfer(event);
    const state = this.#session.device(event.object);
    const device = this.#devices.get(event.object);
    if (state === undefined) return false;
    const place = state.locate(event.offset);
    if (device === undefined || place === undefined) {
      this.#omit('accesses to a device that the replay does not have');
      return false;
    }
    const reading = event.kind === EventKind.READ;
    const given = payloadBytes(event, PayloadRole.DATA) ?? littleEndian(event.value, Math.min(event.op, 8));
    if (!reading && given.length < event.op) {
      this.#omit('writes of which not all bytes were recorded');
      return false;
    }
    const base = device.offsets.get(place.index) ?? defaultRegionOffset(place.index);
    this.#pace.wait(event.time);
    this.#operations++;
    const bytes = reading ? new Uint8Array(event.op) : given.slice(0, event.op);
    const offset = base + place.offset;
    const result = reading
      ? this.#target.pread(device.fd, bytes, offset)
      : this.#target.pwrite(device.fd, bytes, offset);
    this.#target.settle();
    const what = `${reading ? 'read' : 'write'} ${regionName(place.index)}+${hex(place.offset)}`;
    if (!this.#compareErrno(event, what, result < 0 ? -result : 0) || result < 0) return true;
    this.#compare();
    if (event.result !== BigInt(result)) {
      this.#diverge('result', event.number, event.object, what, String(event.result), String(result));
      return true;
    }
    if (reading)
      this.#compareBytes(
        event,
        place.index,
        Number(place.offset),
        given.subarray(0, result),
        bytes.subarray(0, result),
      );
    return true;
  }

  /** Register by register, where they are known. */
  #compareBytes(event: Event, region: number, offset: number, recorded: Uint8Array, seen: Uint8Array): void {
    this.#compare();
    if (recorded.length === seen.length && recorded.every((byte, i) => byte === seen[i])) return;
    const state = this.#session.device(event.object);
    const lookup = state?.lookup(region);
    for (let at = 0; at < recorded.length; ) {
      const placed = lookup?.(offset + at);
      const end =
        placed === undefined
          ? at + 1
          : Math.min(recorded.length, placed.start + placed.register.width - offset);
      const a = number(recorded.subarray(at, end));
      const b = number(seen.subarray(at, end));
      if (a !== b) this.#compareValue(event.number, event.object, region, offset + at, end - at, a, b);
      at = end;
    }
  }

  #compareValue(
    event: number,
    object: number,
    region: number,
    offset: number,
    width: number,
    recorded: bigint,
    seen: bigint,
  ): void {
    const lookup = this.#session.device(object)?.lookup(region);
    const masked = this.#options.masks.bits(region, offset, lookup?.(offset)?.name);
    if ((recorded & ~masked) === (seen & ~masked)) {
      this.#masked++;
      return;
    }
    const text = (value: bigint) => {
      const [first] = lookup === undefined ? [] : touchedRegisters(lookup, offset, width, value);
      return first?.text.replace(/^\S+ = /, '') ?? hexWidth(value, width);
    };
    const [first] = lookup === undefined ? [] : touchedRegisters(lookup, offset, width, recorded);
    const name = first === undefined ? '' : ` ${first.name}`;
    this.#diverge(
      'value',
      event,
      object,
      `${regionName(region)}+${hex(offset)}${name}`,
      text(recorded),
      text(seen),
    );
  }

  // --- loads and stores --------------------------------------------------------------------------------------

  #access(batch: EventBatch, row: number): boolean {
    const object = batch.object[row] as number;
    const device = this.#devices.get(object);
    if (device === undefined) {
      this.#omit('accesses to a device that the replay does not have');
      return false;
    }
    const op = batch.op[row] as number;
    const region = op & 0xff;
    const width = (op >>> 8) & 0xff;
    const offset = Number(batch.offset[row]);
    const kind = batch.kind[row] as number;
    const thread = batch.thread[row] as number;
    const intent = ((batch.flags[row] as number) & EventFlag.INTENT) !== 0;
    if (intent) {
      this.#omit('an access that never completed');
      return false;
    }
    this.#pace.waitTicks(batch, row, this.#trace);
    this.#operations++;
    if (width > 8 || width === 0) {
      this.#endRun();
      return this.#wide(eventOfRow(this.#trace, batch, row), device, region, offset);
    }
    const value = batch.value[row] as bigint;
    if (kind !== EventKind.LOAD) {
      this.#endRun();
      if (!this.#store(device, region, offset, width, value)) this.#faulted(object, region, offset);
      this.#target.settle();
      return true;
    }
    const seen = this.#load(device, region, offset, width);
    if (seen === undefined) {
      this.#endRun();
      this.#faulted(object, region, offset);
      return true;
    }
    if (this.#session.device(object)?.registers.isLayout(region, offset) === true)
      this.#session.apply(eventOfRow(this.#trace, batch, row));
    this.#loaded({ object, thread, region, offset, width }, device, value, seen);
    return true;
  }

  #loaded(place: LoadPlace, device: OpenDevice, recorded: bigint, seen: bigint): void {
    const event = this.#event;
    this.#compare();
    if (this.#run?.is(place) !== true) {
      this.#endRun();
      this.#run = new LoadRun(place);
      const { region, offset, width } = place;
      const started = process.hrtime.bigint();
      let tries = 0;
      this.#runAgain = () => {
        const waited = Number(process.hrtime.bigint() - started);
        if (tries++ >= TRIES_LEAST && waited > this.#options.patienceNs) return undefined;
        this.#target.settle();
        return this.#load(device, region, offset, width);
      };
    }
    this.#run?.add(event, recorded, seen);
  }

  #endRun(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    const mismatch = run.end(this.#runAgain ?? (() => undefined));
    if (mismatch === undefined) return;
    const { object, region, offset, width } = run.place;
    this.#compareValue(mismatch.event, object, region, offset, width, mismatch.recorded, mismatch.seen);
  }

  /** Vector and string instructions: eight bytes at a time, or what is left. */
  #wide(event: Event, device: OpenDevice, region: number, offset: number): boolean {
    const data = payloadBytes(event, PayloadRole.DATA);
    if (data === undefined) {
      this.#omit('wide accesses of which the data was not recorded');
      return false;
    }
    const seen = new Uint8Array(data.length);
    for (let at = 0; at < data.length; ) {
      const width = data.length - at >= 8 ? 8 : data.length - at >= 4 ? 4 : data.length - at >= 2 ? 2 : 1;
      if (event.kind === EventKind.LOAD) {
        const value = this.#load(device, region, offset + at, width);
        if (value === undefined) {
          this.#faulted(event.object, region, offset + at);
          return true;
        }
        seen.set(littleEndian(value, width), at);
      } else if (!this.#store(device, region, offset + at, width, number(data.subarray(at, at + width)))) {
        this.#faulted(event.object, region, offset + at);
        return true;
      }
      at += width;
    }
    this.#target.settle();
    if (event.kind === EventKind.LOAD) this.#compareBytes(event, region, offset, data, seen);
    return true;
  }

  #faulted(object: number, region: number, offset: number): void {
    this.#diverge(
      'fault',
      this.#event,
      object,
      `${regionName(region)}+${hex(offset)}`,
      'an access',
      'SIGBUS',
    );
  }

  #mapping(
    device: OpenDevice,
    region: number,
    offset: number,
  ): { readonly mapping: TargetMapping; readonly start: bigint } | undefined {
    const mappings = device.mappings.get(region);
    if (mappings === undefined) return undefined;
    const at = BigInt(offset);
    for (let i = mappings.length - 1; i >= 0; i--) {
      const held = mappings[i];
      if (held !== undefined && at >= held.start && at < held.end) return held;
    }
    return undefined;
  }

  #load(device: OpenDevice, region: number, offset: number, width: number): bigint | undefined {
    const held = this.#mapping(device, region, offset);
    if (held !== undefined) return held.mapping.load(offset - Number(held.start), width as 1 | 2 | 4 | 8);
    const bytes = new Uint8Array(width);
    const at = (device.offsets.get(region) ?? defaultRegionOffset(region)) + BigInt(offset);
    return this.#target.pread(device.fd, bytes, at) === width ? number(bytes) : undefined;
  }

  #store(device: OpenDevice, region: number, offset: number, width: number, value: bigint): boolean {
    const held = this.#mapping(device, region, offset);
    if (held !== undefined)
      return held.mapping.store(offset - Number(held.start), width as 1 | 2 | 4 | 8, value);
    const at = (device.offsets.get(region) ?? defaultRegionOffset(region)) + BigInt(offset);
    return this.#target.pwrite(device.fd, littleEndian(value, width), at) === width;
  }

  #mmap(event: Event): boolean {
    const device = this.#devices.get(event.object);
    const place = this.#session.device(event.object)?.locate(event.offset);
    if (device === undefined || place === undefined || place.index === CONFIG_REGION) return false;
    const base = device.offsets.get(place.index) ?? defaultRegionOffset(place.index);
    this.#pace.wait(event.time);
    this.#operations++;
    const result = this.#target.mmap(device.fd, base + place.offset, event.value);
    const what = `mmap ${regionName(place.index)}+${hex(place.offset)}`;
    if (!this.#compareErrno(event, what, typeof result === 'number' ? -result : 0)) return true;
    if (typeof result === 'number') return true;
    const mappings = device.mappings.get(place.index) ?? [];
    mappings.push({ mapping: result, start: place.offset, end: place.offset + event.value });
    device.mappings.set(place.index, mappings);
    return true;
  }

  // --- interrupts --------------------------------------------------------------------------------------------

  #eventfdTransfer(event: Event): boolean {
    const eventfd = this.#eventfds.get(event.object);
    const route = this.#session.interrupts.of(event.object);
    if (eventfd === undefined || route === undefined || event.errno !== 0) return false;
    this.#pace.wait(event.time);
    this.#operations++;
    if (event.kind === EventKind.WRITE) {
      eventfd.write();
      this.#target.settle();
      return true;
    }
    this.#heard.add(event.object);
    this.#compare();
    const deadline = process.hrtime.bigint() + BigInt(Math.round(this.#options.patienceNs));
    let count = eventfd.read();
    while (count === 0n && process.hrtime.bigint() < deadline) {
      this.#target.settle();
      count = eventfd.read();
    }
    if (count === 0n)
      this.#diverge(
        'interrupt',
        event.number,
        route.device,
        `${kindOfRoute(route.index)}[${route.vector}]`,
        `${event.value} signalled`,
        'none',
      );
    return true;
  }

  /** Signalled at the end, and never read in the recording. */
  #leftOverInterrupts(): void {
    for (const [object, eventfd] of this.#eventfds) {
      if (this.#heard.has(object)) continue;
      const route = this.#session.interrupts.of(object);
      if (route === undefined || route.role !== 'trigger') continue;
      if (this.#session.interrupts.isInKernel(object)) continue;
      const count = eventfd.read();
      this.#compare();
      if (count === 0n) continue;
      this.#diverge(
        'interrupt',
        this.#event,
        route.device,
        `${kindOfRoute(route.index)}[${route.vector}]`,
        'never read',
        `${count} signalled`,
      );
    }
  }

  // --- the account -------------------------------------------------------------------------------------------

  #compare(): void {
    if (this.#event >= this.#options.from) this.#compared++;
  }

  #omit(reason: string): void {
    const known = this.#omissions.get(reason);
    if (known !== undefined) known.count++;
    else this.#omissions.set(reason, { count: 1, event: this.#event });
  }

  #diverge(
    kind: DivergenceKind,
    event: number,
    object: number,
    what: string,
    recorded: string,
    seen: string,
  ): void {
    if (event < this.#options.from) return;
    this.#counts[kind]++;
    if (this.#divergences.length >= DIVERGENCES_KEPT) return;
    this.#divergences.push({ kind, event, object: this.#session.names.name(object), what, recorded, seen });
  }
}

function kindOfRoute(index: number): string {
  return ['INTX', 'MSI', 'MSIX', 'ERR', 'REQ'][index] ?? `irq${index}`;
}

function number(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

function littleEndian(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  let rest = value;
  for (let i = 0; i < width; i++) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}
