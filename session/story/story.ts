// SPDX-License-Identifier: Apache-2.0
/**
 * A recorded session followed from its first event to its last, in one pass and constant memory: the state (state.ts),
 * what became of each device (device-life.ts), which address space it is in, and what its controller was told. The
 * analyzer, the charts and the comparison of sessions stand on this.
 */
import { EVENTFD, isDevice, LYON_NETLINK } from '../../abi/object-kinds.js';
import { hex, textOf } from '../../abi/text.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow, wordsNumber } from '../../traces/event-of-row.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { Change } from '../change.js';
import { isPeek, netlinkMessages } from '../netlink.js';
import { movedBytes, payloadOf } from '../payloads.js';
import { Session } from '../state.js';
import { AccessTable, Point } from './access-table.js';
import { AddressSpaces } from './address-spaces.js';
import type { AccessHandler, AccessPoint, EventfdAction, EventfdHandler, EventfdPoint } from './bulk.js';
import { controllerOf } from './controllers/choose.js';
import type { Controller, RegisterAccess } from './controllers/controller.js';
import { DeviceLife } from './device-life.js';
import { type Moment, momentOf } from './moment.js';
import { RowCursor } from './row.js';
import type { ConfigStep, IoctlStep, MemoryStep, NetlinkStep, Step } from './steps.js';

/** Who follows the session. */
export interface Watcher {
  /** After the state has it. */
  step(step: Step): void;
  /** Asked once for each place and each condition of its device. */
  access(point: AccessPoint): readonly AccessHandler[];
  /** Asked once for each eventfd, and again when its interrupt changes. */
  eventfd(point: EventfdPoint): readonly EventfdHandler[];
}

interface EventfdRecord {
  epoch: number;
  handlers: readonly EventfdHandler[];
}

const NOTHING = new Uint8Array(0);
const DIRECTIONS: Readonly<Record<number, AccessPoint['direction']>> = {
  [EventKind.LOAD]: 'load',
  [EventKind.STORE]: 'store',
  [EventKind.UPDATE]: 'update',
};

export class Story {
  readonly trace: Trace;
  readonly session: Session;
  readonly spaces: AddressSpaces;
  readonly #lives = new Map<number, DeviceLife>();
  readonly #controllers = new Map<number, Controller>();
  readonly #accesses = new AccessTable();
  readonly #eventfds = new Map<number, EventfdRecord>();
  #eventfdEpoch = 0;
  #changes: Change[] = [];
  #watcher: Watcher | undefined;
  /** The latest event. */
  latest: Moment = { event: -1, time: 0 };

  constructor(trace: Trace) {
    this.trace = trace;
    this.session = new Session(trace.definitions, (change) => this.#changes.push(change));
    this.spaces = new AddressSpaces(this.session);
  }

  /** Every open of a device, in the order of their first events. */
  get devices(): ReadonlyMap<number, DeviceLife> {
    return this.#lives;
  }

  /** The devices of an address space that are open. */
  devicesIn(space: { readonly object: number; readonly ioas: number }): readonly DeviceLife[] {
    return [...this.#lives.values()].filter(
      (life) => life.closed === undefined && this.spaces.of(life.id) === space,
    );
  }

  follow(watcher: Watcher): void {
    this.#watcher = watcher;
    let cursor: RowCursor | undefined;
    let final: { readonly batch: EventBatch; readonly row: number } | undefined;
    for (const batch of this.trace.batches()) {
      cursor ??= new RowCursor(this.trace, batch);
      cursor.batch = batch;
      const { kind } = batch;
      for (let row = batch.begin; row < batch.end; row++) {
        cursor.row = row;
        switch (kind[row]) {
          case EventKind.LOAD:
          case EventKind.STORE:
          case EventKind.UPDATE:
            this.#access(batch, row, cursor);
            break;
          case EventKind.READ:
            if (!this.#eventfd(batch, row, cursor, 'read')) this.#event(eventOfRow(this.trace, batch, row));
            break;
          case EventKind.WRITE:
            if (!this.#eventfd(batch, row, cursor, 'write')) this.#event(eventOfRow(this.trace, batch, row));
            break;
          case EventKind.WAKE:
            this.#eventfd(batch, row, cursor, 'wake');
            break;
          case EventKind.CLOCK:
          case EventKind.THREAD:
          case EventKind.SITE:
          case EventKind.LSEEK:
          case EventKind.DMA:
          case EventKind.INTERRUPT:
            break;
          default:
            this.#event(eventOfRow(this.trace, batch, row));
        }
      }
      final = { batch, row: batch.end - 1 };
      this.latest = { event: batch.firstEvent + final.row, time: cursor.time };
    }
  }

  // --- the bulk ------------------------------------------------------------------------------------------------

  #access(batch: EventBatch, row: number, cursor: RowCursor): void {
    const kind = batch.kind[row] as number;
    const object = batch.object[row] as number;
    const access = (batch.op[row] as number) & 0xffff;
    const low = batch.offsetWords[2 * row] as number;
    const high = batch.offsetWords[2 * row + 1] as number;
    let point = this.#accesses.find(kind, object, access, low, high);
    if (point === undefined) {
      const life = this.#life(object, cursor);
      if (life === undefined) return;
      const offset = low + high * 0x1_0000_0000;
      const direction = DIRECTIONS[kind] as AccessPoint['direction'];
      const region = access & 0xff;
      point = new Point(life, direction, region, offset, access >>> 8, kind, object, access, low, high);
      this.#accesses.add(point);
    }
    const { device } = point;
    if (point.epoch !== device.epoch) {
      point.epoch = device.epoch;
      point.handlers = this.#handlers(point);
    }
    const { handlers } = point;
    for (let i = 0; i < handlers.length; i++) (handlers[i] as AccessHandler)(cursor);
    point.count++;
    device.lastAccess = point;
    device.accessEvent = batch.firstEvent + row;
    device.accessTicks = wordsNumber(batch.timeWords, row);
  }

  #handlers(point: Point): readonly AccessHandler[] {
    const own: AccessHandler[] = [];
    const { device, direction, region, offset } = point;
    if (direction === 'load' && device.state.registers.isLayout(region, offset)) {
      own.push((row) => {
        const before = device.state.registers;
        before.learn(region, offset, point.width, row.value);
      });
    }
    const controller = this.#controllers.get(device.id);
    const register = controller === undefined ? undefined : point.register;
    if (controller !== undefined && register !== undefined && controller.wants(register.name)) {
      const access = {
        store: direction !== 'load',
        register,
        within: offset - register.start,
        width: point.width,
      };
      own.push((row) => {
        // Nothing was loaded by an access that never completed.
        if (direction === 'load' && (row.flags & 4) !== 0) return;
        this.#controller(device, controller, { ...access, value: row.value }, () =>
          eventOfRow(this.trace, (row as RowCursor).batch, (row as RowCursor).row),
        );
      });
    }
    const asked = this.#watcher?.access(point) ?? [];
    // Rules first: they judge an access by the condition that it found.
    return own.length === 0 ? asked : [...asked, ...own];
  }

  #controller(device: DeviceLife, controller: Controller, access: RegisterAccess, event: () => Event): void {
    const news = controller.access(access);
    if (news === undefined) return;
    const cause = event();
    if (news.what === 'enabled' || news.what === 'disabled') {
      device.controllerEnabled = news.what === 'enabled';
      device.epoch++;
    } else if (news.what === 'reset' || news.what === 'stopped') {
      device.controllerEnabled = false;
      device.reset('controller', momentOf(cause));
    }
    const process = this.session.processOf(cause);
    this.#tell({ type: 'controller', event: cause, process, ok: true, device, ...news });
  }

  #eventfd(batch: EventBatch, row: number, cursor: RowCursor, action: EventfdAction): boolean {
    const object = batch.object[row] as number;
    let record = this.#eventfds.get(object);
    if (record === undefined) {
      if (this.session.names.kind(object) !== EVENTFD) return false;
      record = { epoch: -1, handlers: [] };
      this.#eventfds.set(object, record);
    }
    if (record.epoch !== this.#eventfdEpoch) {
      record.epoch = this.#eventfdEpoch;
      const { interrupts } = this.session;
      const route = interrupts.of(object);
      record.handlers =
        this.#watcher?.eventfd({ object, route, inKernel: interrupts.isInKernel(object) }) ?? [];
    }
    const { handlers } = record;
    for (let i = 0; i < handlers.length; i++) (handlers[i] as EventfdHandler)(cursor, action);
    return true;
  }

  // --- everything else -----------------------------------------------------------------------------------------

  #tell(step: Step): void {
    this.#watcher?.step(step);
  }

  #life(object: number, moment: Moment): DeviceLife | undefined {
    const known = this.#lives.get(object);
    if (known !== undefined) return known;
    const state = this.session.device(object);
    if (state === undefined) return undefined;
    const seenBorn = this.session.definitions.objects.get(object)?.seenBorn ?? false;
    const opened = { event: moment.event, time: moment.time };
    const life = new DeviceLife(state, this.session.names.device(object), seenBorn, opened);
    this.#lives.set(object, life);
    const controller = controllerOf(life.definition);
    if (controller !== undefined) this.#controllers.set(object, controller);
    return life;
  }

  #event(event: Event): void {
    const { session } = this;
    const process = session.processOf(event);
    const ok = event.errno === 0;
    const base = { event, process, ok };
    const device = isDevice(session.names.kind(event.object))
      ? this.#life(event.object, momentOf(event))
      : undefined;
    switch (event.kind) {
      case EventKind.IOCTL:
        this.#ioctl(event, process, device);
        break;
      case EventKind.READ:
      case EventKind.WRITE:
        if (device !== undefined) this.#descriptorAccess(event, process, device);
        else if (session.names.kind(event.object) === LYON_NETLINK) this.#netlink(base);
        else if (event.kind === EventKind.WRITE)
          this.#tell({ type: 'file-write', ...base, object: event.object });
        break;
      case EventKind.OPEN:
        session.apply(event);
        this.#tell({ type: 'open', ...base, object: event.object, path: text(event) });
        break;
      case EventKind.CLOSE:
        this.#close(event, process);
        break;
      case EventKind.MMAP:
      case EventKind.MUNMAP:
      case EventKind.MREMAP:
      case EventKind.MPROTECT:
      case EventKind.MADVISE:
        this.#memory(event, process, device);
        break;
      case EventKind.DUP:
      case EventKind.EVENTFD:
      case EventKind.SEND_FD:
      case EventKind.RECV_FD:
      case EventKind.UNSEEN: {
        session.apply(event);
        const { object } = event;
        const fd = event.kind === EventKind.DUP ? Number(event.result) : event.fd;
        this.#tell({ type: DESCRIPTOR_STEPS[event.kind], ...base, object, fd });
        break;
      }
      case EventKind.PROCESS:
        this.#tell({ type: 'process', ...base });
        break;
      case EventKind.FORK:
        this.#tell({ type: 'fork', ...base });
        break;
      case EventKind.EXEC:
        this.#tell({ type: 'exec', ...base });
        break;
      case EventKind.SIGNAL:
        this.#tell({ type: 'signal', ...base });
        break;
      case EventKind.EXIT: {
        const gone = this.#gone(session.descriptors.end(process), event);
        this.#tell({ type: 'exit', ...base, status: event.op | 0, gone });
        break;
      }
      case EventKind.LOST:
        this.#tell({ type: 'lost', ...base });
        break;
      default:
        break;
    }
  }

  #ioctl(event: Event, process: number, device: DeviceLife | undefined): void {
    const { session } = this;
    const objectKind = session.names.kind(event.object);
    const found = session.ioctl(event.object, event.op);
    const before = payloadOf(event, PayloadRole.IN) ?? NOTHING;
    const after = payloadOf(event, PayloadRole.OUT) ?? before;
    const name = found?.name ?? `ioctl ${hex(event.op)}`;
    const ok = event.errno === 0;
    const step: IoctlStep = {
      type: 'ioctl',
      event,
      process,
      ok,
      name,
      object: event.object,
      objectKind,
      device,
      before,
      after,
    };
    session.apply(event);
    const changes = this.#taken();
    device?.applyIoctl(step);
    this.spaces.apply(step);
    if (found?.returns === 'fd' && ok) {
      const object = session.descriptors.get(process, Number(event.result));
      if (object !== undefined) this.#life(object, momentOf(event));
    }
    if (name === 'VFIO_DEVICE_SET_IRQS' || name === 'KVM_IRQFD' || device?.isLyon === true)
      this.#eventfdEpoch++;
    this.#tell(step);
    for (const change of changes) {
      if (change.type === 'dma-map') {
        const space = this.spaces.space(change.object, change.ioas);
        this.#tell({ type: 'dma-map', event, process, ok, space, mapping: change.mapping });
      } else if (change.type === 'dma-unmap') {
        const space = this.spaces.space(change.object, change.ioas);
        const { start, length, mappings } = change;
        this.#tell({ type: 'dma-unmap', event, process, ok, space, start, length, mappings });
      }
    }
  }

  #taken(): readonly Change[] {
    const changes = this.#changes;
    if (changes.length > 0) this.#changes = [];
    return changes;
  }

  #netlink(base: Omit<NetlinkStep, 'type' | 'object' | 'messages'>): void {
    const { event } = base;
    if (isPeek(event)) return;
    const type = event.kind === EventKind.WRITE ? 'netlink-send' : 'netlink-receive';
    this.#tell({ type, ...base, object: event.object, messages: netlinkMessages(event) });
  }

  #descriptorAccess(event: Event, process: number, device: DeviceLife): void {
    const place = device.state.locate(event.offset);
    const reading = event.kind === EventKind.READ;
    if (place === undefined) return;
    const bytes = movedBytes(event);
    const offset = Number(place.offset);
    const base = { event, process, ok: event.errno === 0, device, offset, length: event.op };
    if (place.index === CONFIG_REGION) {
      const { config } = device.state;
      const held: (number | undefined)[] = [];
      if (!reading)
        for (let i = 0; i < Math.min(bytes.length, 4096); i++) held.push(config.read(offset + i, 1));
      if (reading) this.session.apply(event);
      const step: ConfigStep = { type: reading ? 'config-read' : 'config-write', ...base, bytes, held };
      device.applyConfig(step);
      this.#tell(step);
      return;
    }
    if (reading) this.session.apply(event);
    const type = reading ? 'region-read' : 'region-write';
    this.#tell({ type, ...base, region: place.index, bytes });
    const controller = this.#controllers.get(device.id);
    const register = controller === undefined ? undefined : device.state.lookup(place.index)(offset);
    if (controller === undefined || register === undefined || !base.ok || bytes.length > 8) return;
    if (!controller.wants(register.name)) return;
    const access = { store: !reading, register, within: offset - register.start, width: bytes.length };
    this.#controller(device, controller, { ...access, value: event.value }, () => event);
  }

  #memory(event: Event, process: number, device: DeviceLife | undefined): void {
    this.session.apply(event);
    const changes = this.#taken();
    const ok = event.errno === 0;
    const regions = changes.flatMap((change) => (change.type === 'unmapped' ? change.mappings : []));
    for (const { object } of regions) {
      const life = this.#lives.get(object);
      if (life !== undefined) life.epoch++;
    }
    const isMap = event.kind === EventKind.MMAP;
    const place = isMap ? device?.state.locate(event.offset) : undefined;
    if (device !== undefined && place !== undefined) {
      const change = changes.find(({ type }) => type === 'mapped');
      device.epoch++;
      this.#tell({
        type: 'map',
        event,
        process,
        ok,
        device,
        region: place.index,
        offset: place.offset,
        length: event.value,
        protection: event.op & 0xff,
        mapFlags: event.op >>> 8,
        mapping: change?.type === 'mapped' ? change.mapping : undefined,
      });
    }
    const start = isMap ? BigInt.asUintN(64, event.result) : event.offset;
    const what = MEMORY_STEPS[event.kind] as MemoryStep['what'];
    this.#tell({
      type: 'memory',
      event,
      process,
      ok,
      what,
      start,
      length: event.value,
      argument: event.op,
      regions,
    });
  }

  #close(event: Event, process: number): void {
    const { descriptors } = this.session;
    const last = event.op === 1 ? Number(BigInt.asUintN(32, event.offset)) : event.fd;
    const objects = event.errno === 0 ? descriptors.between(process, event.fd, last) : [];
    this.session.apply(event);
    const gone = this.#gone(objects, event);
    this.#tell({ type: 'close', event, process, ok: event.errno === 0, objects, gone });
  }

  /** Those that nobody has a descriptor of any more. */
  #gone(objects: readonly number[], event: Event): readonly number[] {
    const gone = objects.filter((object) => !this.session.descriptors.holds(object));
    for (const object of gone) {
      const life = this.#lives.get(object);
      if (life === undefined || life.closed !== undefined) continue;
      life.closed = momentOf(event);
      life.epoch++;
    }
    return gone;
  }
}

const DESCRIPTOR_STEPS = {
  [EventKind.DUP]: 'dup',
  [EventKind.EVENTFD]: 'eventfd',
  [EventKind.SEND_FD]: 'send-fd',
  [EventKind.RECV_FD]: 'receive-fd',
  [EventKind.UNSEEN]: 'unseen',
} as const;

const MEMORY_STEPS: Readonly<Record<number, MemoryStep['what']>> = {
  [EventKind.MMAP]: 'mmap',
  [EventKind.MUNMAP]: 'munmap',
  [EventKind.MREMAP]: 'mremap',
  [EventKind.MPROTECT]: 'mprotect',
  [EventKind.MADVISE]: 'madvise',
};

function text(event: Event): string {
  const bytes = payloadOf(event, PayloadRole.PATH);
  return bytes === undefined ? '' : textOf(bytes);
}
