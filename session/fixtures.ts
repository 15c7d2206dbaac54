// SPDX-License-Identifier: Apache-2.0
/**
 * Sessions written by hand, for tests: each method is one thing that a driver does, as the recorder would have recorded it.
 *
 *     const s = new RecordedSession();
 *     const { device } = s.openNvme();
 *     s.configWrite(device, 0x04, 2, 0x0406);
 *     s.store(device, 0, 0x1000, 4, 1);
 *     const trace = await s.trace();
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ioctlsNamed } from '../abi/ioctls.js';
import { encode, type Layout, type PartialValues } from '../abi/layout.js';
import { lyonRegionOffset } from '../abi/lyon2010/regions.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD } from '../abi/vfio/device.js';
import { DEVICE_INFO } from '../abi/vfio/device-info.js';
import { DEVICE_FEATURE } from '../abi/vfio/feature.js';
import { GROUP_STATUS, SET_CONTAINER } from '../abi/vfio/group.js';
import { IRQ_INFO, IRQ_SET } from '../abi/vfio/irqs.js';
import { REGION_INFO } from '../abi/vfio/region-info.js';
import { defaultRegionOffset } from '../abi/vfio/regions.js';
import { DMA_MAP, DMA_UNMAP } from '../abi/vfio/type1.js';
import { SIM_NETLINK } from '../abi/wire/sim.js';
import { EventBatch } from '../traces/columns.js';
import { HEADER } from '../traces/fixtures.js';
import {
  type DeviceDefinition,
  EventFlag,
  EventKind,
  type ObjectDefinition,
  ObjectKind,
  PayloadRole,
  type ProcessDefinition,
  type RecordingModes,
  type ThreadDefinition,
  type TraceLoss,
} from '../traces/model.js';
import { openTrace, type Trace } from '../traces/reader.js';
import { TraceWriter } from '../traces/writer.js';

/** An object of the session, and the descriptor that the driver has of it. */
export interface Opened {
  readonly object: number;
  readonly fd: number;
}

export interface IoctlRecord {
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
  /** The argument itself, where it is a number. */
  readonly argument?: bigint;
  readonly result?: bigint;
  readonly errno?: number;
  readonly kind?: Uint8Array;
  readonly pointed?: Uint8Array;
  readonly pointedAfter?: Uint8Array;
  /** How long the call takes. */
  readonly durationNs?: number;
}

export interface DmaRequest {
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr?: bigint;
  /** READ 1, WRITE 2; both by default. */
  readonly flags?: number;
  readonly errno?: number;
  /** How long the call takes. */
  readonly durationNs?: number;
}

interface Payload {
  readonly role: number;
  readonly data: Uint8Array;
}

interface Row {
  readonly kind: number;
  readonly flags?: number;
  readonly object?: number;
  readonly fd?: number;
  readonly op?: number;
  readonly offset?: bigint;
  readonly value?: bigint;
  readonly result?: bigint;
  readonly errno?: number;
  readonly payloads?: readonly Payload[];
}

export interface Repeat {
  readonly from: number;
  readonly to: number;
  readonly times: number;
}

interface PlacedRow extends Row {
  readonly time: number;
  readonly thread: number;
  readonly duration: number;
}

const MODES: RecordingModes = { ...HEADER.modes, mmio: 'patch', watch: [] };
/** One call takes so long, ns. */
const STEP_NS = 1000;
const REGION_MMAP = 7;

/** The configuration space of an NVMe drive with PM, MSI, MSI-X and PCI Express capabilities, 256 bytes. */
export function nvmeConfig(): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x00, 0x1b36, true);
  view.setUint16(0x02, 0x0010, true);
  view.setUint16(0x04, 0x0002, true);
  view.setUint16(0x06, 0x0010, true);
  view.setUint32(0x08, 0x01080202, true);
  view.setUint32(0x10, 0xfebf_0004, true);
  bytes[0x34] = 0x40;
  bytes[0x3d] = 1;
  // PM at 0x40, MSI at 0x50 (64-bit, with masks), MSI-X at 0x70, Express at 0x80.
  bytes.set([0x01, 0x50, 0x03, 0x00, 0x08, 0x00], 0x40);
  bytes.set([0x05, 0x70, 0x80, 0x01], 0x50);
  bytes.set([0x11, 0x80, 0x0f, 0x00], 0x70);
  view.setUint32(0x74, 0x2000, true);
  view.setUint32(0x78, 0x3000, true);
  bytes.set([0x10, 0x00, 0x02, 0x00], 0x80);
  view.setUint32(0x84, 0x1000_8000, true);
  return bytes;
}

export const NVME_DEVICE: Omit<DeviceDefinition, 'id'> = {
  bdf: '0000:00:04.0',
  vendor: 0x1b36,
  device: 0x0010,
  classCode: 0x010802,
  subsystemVendor: 0x1af4,
  subsystemDevice: 0x1100,
  revision: 2,
  driver: 'vfio-pci',
  iommuGroup: '7',
  resources: [{ index: 0, size: 0x4000n, flags: 0x14_0204n }],
  config: nvmeConfig(),
  resetMethod: 'flr',
  numaNode: -1,
};

export class RecordedSession {
  #modes: RecordingModes;
  readonly #rows: PlacedRow[] = [];
  readonly #objects: ObjectDefinition[] = [];
  readonly #devices: DeviceDefinition[] = [];
  readonly #processes: ProcessDefinition[] = [];
  readonly #threads: ThreadDefinition[] = [];
  #losses: TraceLoss[] = [];
  #now = 0;
  #nextFd = 10;
  #thread = 1;
  #nextAddress = 0x7f00_0000_0000n;

  constructor(modes: Partial<RecordingModes> = {}, exe = '/usr/bin/driver') {
    this.#modes = { ...MODES, ...modes };
    this.#processes.push({ id: 1, pid: 100, parentPid: 1, exe, argv: [exe] });
    this.#threads.push({ id: 1, process: 1, tid: 100, name: 'main' });
  }

  // --- the session as a whole --------------------------------------------------------------------------------

  /** Time passes. */
  after(ns: number): this {
    this.#now += ns;
    return this;
  }

  /** What follows is done by another thread, which is in this process: 1 is the first. */
  thread(id: number, process = 1): this {
    if (!this.#threads.some((held) => held.id === id)) {
      this.#threads.push({ id, process, tid: 100 + id, name: `t${id}` });
    }
    this.#thread = id;
    return this;
  }

  process(id: number, pid: number, parentPid: number, exe = '/usr/bin/driver'): this {
    this.#processes.push({ id, pid, parentPid, exe, argv: [exe] });
    return this;
  }

  lose(cause = 'ring full', events = 1): this {
    this.#losses = [...this.#losses, { cause, events, bytes: 64 * events, process: 1, detail: '' }];
    return this;
  }

  /** Number of the event that comes next. */
  get next(): number {
    return this.#rows.length;
  }

  /** Any event, where no method makes it. */
  event(row: Row, duration = 0): this {
    this.#now += STEP_NS;
    this.#rows.push({ ...row, time: this.#now, thread: this.#thread, duration });
    return this;
  }

  /** Sealed, written and read back. */
  async trace(): Promise<Trace> {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-session-'));
    try {
      const path = join(directory, 's.vtape');
      await this.write(path);
      return openTrace(await readFile(path));
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  /** `repeat`: these events, up to but not including `to`, so many times in all. */
  async write(path: string, repeat: Repeat = { from: 0, to: 0, times: 0 }): Promise<void> {
    const clock = { ...HEADER.clock, ticksPerSecond: 1e9 };
    const writer = await TraceWriter.create(path, {
      ...HEADER,
      command: ['driver'],
      modes: this.#modes,
      clock,
    });
    await writer.writeDefinitions({
      processes: this.#processes,
      threads: this.#threads,
      devices: this.#devices,
      objects: this.#objects,
    });
    const batch = new EventBatch();
    const rows = this.#repeated(repeat);
    while (fill(batch, rows)) {
      await writer.ready();
      // What goes wrong with it goes wrong with the seal.
      writer.writeChunk(batch, []).catch(() => undefined);
    }
    await writer.seal({
      clock,
      losses: this.#losses,
      endings: [{ process: 1, exitStatus: 0, signal: 0 }],
      complete: true,
      stoppedBy: 'driver-exit',
      waits: 0,
      waitedNs: 0,
      lateEvents: 0,
      dmaComparisons: [],
    });
  }

  *#repeated({ from, to, times }: Repeat): Generator<PlacedRow, void, undefined> {
    const rows = this.#rows;
    for (let at = 0; at < from; at++) yield rows[at] as PlacedRow;
    const start = rows[from]?.time ?? 0;
    const period = (rows[to]?.time ?? this.#now + STEP_NS) - start;
    for (let n = 0; n < times; n++) {
      for (let at = from; at < to; at++) {
        const row = rows[at] as PlacedRow;
        yield { ...row, time: row.time + n * period };
      }
    }
    const late = Math.max(0, times - 1) * period;
    for (let at = to; at < rows.length; at++) {
      const row = rows[at] as PlacedRow;
      yield { ...row, time: row.time + late };
    }
  }

  // --- descriptors -------------------------------------------------------------------------------------------

  #object(kind: number, path: string, parent = 0, device = 0, seenBorn = true): number {
    const id = this.#objects.length + 1;
    this.#objects.push({ id, kind, path, parent, process: 1, seenBorn, device });
    return id;
  }

  open(
    kind: number,
    path: string,
    options: { readonly device?: number; readonly errno?: number; readonly flags?: number } = {},
  ): Opened {
    const failed = options.errno !== undefined;
    const fd = failed ? -1 : this.#nextFd++;
    const object = failed ? 0 : this.#object(kind, path, 0, options.device ?? 0);
    this.event({
      kind: EventKind.OPEN,
      object,
      fd,
      op: options.flags ?? 2,
      result: BigInt(fd),
      errno: options.errno ?? 0,
      payloads: [{ role: PayloadRole.PATH, data: new TextEncoder().encode(`${path}\0`) }],
    });
    return { object, fd };
  }

  container(): Opened {
    return this.open(ObjectKind.CONTAINER, '/dev/vfio/vfio');
  }

  group(number = 7): Opened {
    return this.open(ObjectKind.GROUP, `/dev/vfio/${number}`);
  }

  iommufd(): Opened {
    return this.open(ObjectKind.IOMMUFD, '/dev/iommu');
  }

  close({ object, fd }: Opened): this {
    return this.event({ kind: EventKind.CLOSE, object, fd });
  }

  /** A descriptor's copy. */
  dup({ object, fd }: Opened): Opened {
    const copy = this.#nextFd++;
    this.event({ kind: EventKind.DUP, object, fd, result: BigInt(copy) });
    return { object, fd: copy };
  }

  // --- set-up ------------------------------------------------------------------------------------------------

  setContainer(group: Opened, container: Opened, errno = 0): this {
    const before = encode(SET_CONTAINER, { fd: container.fd });
    return this.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', { before, errno });
  }

  groupStatus(group: Opened, flags = 1): this {
    return this.struct(group, 'VFIO_GROUP_GET_STATUS', GROUP_STATUS, { argsz: 8 }, { argsz: 8, flags });
  }

  setIommu(container: Opened, type = 3n, errno = 0): this {
    return this.ioctl(container, 'VFIO_SET_IOMMU', { argument: type, errno });
  }

  /** GET_DEVICE_FD; the device is described by `definition`. */
  getDevice(group: Opened, definition: Partial<Omit<DeviceDefinition, 'id'>> = {}): Opened {
    const described = { ...NVME_DEVICE, ...definition };
    const device = this.#device(described);
    const object = this.#object(ObjectKind.DEVICE, described.bdf, group.object, device);
    const fd = this.#nextFd++;
    const kind = new Uint8Array(new Uint32Array([ObjectKind.DEVICE, object]).buffer);
    this.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', {
      before: new TextEncoder().encode(`${described.bdf}\0`),
      result: BigInt(fd),
      kind,
    });
    return { object, fd };
  }

  #device(described: Omit<DeviceDefinition, 'id'>): number {
    const id = this.#devices.length + 1;
    this.#devices.push({ ...described, id });
    return id;
  }

  /** A device that was open before the recorder could see it. */
  unseenDevice(definition: Partial<Omit<DeviceDefinition, 'id'>> = {}): Opened {
    const described = { ...NVME_DEVICE, ...definition };
    const device = this.#device(described);
    const object = this.#object(ObjectKind.DEVICE, described.bdf, 0, device, false);
    const fd = this.#nextFd++;
    this.event({ kind: EventKind.UNSEEN, object, fd });
    return { object, fd };
  }

  openCdev(definition: Partial<Omit<DeviceDefinition, 'id'>> = {}): Opened {
    const device = this.#device({ ...NVME_DEVICE, ...definition });
    return this.open(ObjectKind.CDEV, '/dev/vfio/devices/vfio0', { device });
  }

  /** A device of the interface of 2010. */
  openLyon(definition: Partial<Omit<DeviceDefinition, 'id'>> = {}): Opened {
    const device = this.#device({ ...NVME_DEVICE, ...definition });
    return this.open(ObjectKind.LYON_DEVICE, '/dev/vfio0', { device });
  }

  /** A socket of generic netlink, which is seen on simulated machines. */
  openNetlink(): Opened {
    this.#modes = { ...this.#modes, backend: 'simulated' };
    return this.open(ObjectKind.LYON_NETLINK, SIM_NETLINK);
  }

  /** One datagram, sent or received. */
  netlink(
    direction: 'send' | 'receive',
    { object, fd }: Opened,
    message: Uint8Array,
    { flags = 0n, errno = 0 }: { readonly flags?: bigint; readonly errno?: number } = {},
  ): this {
    const data = { role: PayloadRole.DATA, index: 0, address: 0n, cut: false, fault: false, redacted: false };
    return this.event({
      kind: direction === 'send' ? EventKind.WRITE : EventKind.READ,
      object,
      fd,
      op: message.length,
      offset: flags,
      value: firstBytes(message),
      result: errno === 0 ? BigInt(message.length) : -1n,
      errno,
      payloads: [{ ...data, data: message }],
    });
  }

  bind(device: Opened, iommufd: Opened, errno = 0): this {
    const request = { argsz: 16, iommufd: iommufd.fd };
    return this.struct(
      device,
      'VFIO_DEVICE_BIND_IOMMUFD',
      BIND_IOMMUFD,
      request,
      { ...request, out_devid: 1 },
      { errno },
    );
  }

  attach(device: Opened, ioas: number, errno = 0): this {
    const request = { argsz: 12, pt_id: ioas };
    return this.struct(device, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', ATTACH_IOMMUFD_PT, request, request, {
      errno,
    });
  }

  deviceInfo(device: Opened, flags = 3): this {
    const out = { argsz: 24, flags, num_regions: 9, num_irqs: 5 };
    return this.struct(device, 'VFIO_DEVICE_GET_INFO', DEVICE_INFO, { argsz: 24 }, out);
  }

  /** `capabilities`: bytes from 32 on. */
  regionInfo(
    device: Opened,
    index: number,
    info: {
      readonly size: bigint;
      readonly flags?: number;
      readonly capabilities?: Uint8Array;
      readonly argsz?: number;
    },
  ): this {
    const { size, flags = REGION_MMAP, capabilities = new Uint8Array(0), argsz } = info;
    const length = argsz ?? 32 + capabilities.length;
    const some = capabilities.length > 0;
    const out = {
      argsz: 32 + capabilities.length,
      flags: flags | (some ? 8 : 0),
      index,
      cap_offset: some && length >= 32 + capabilities.length ? 32 : 0,
      size,
      offset: defaultRegionOffset(index),
    };
    const after = new Uint8Array(Math.max(length, 32));
    after.set(encode(REGION_INFO, out));
    if (length >= 32 + capabilities.length) after.set(capabilities, 32);
    const before = encode(REGION_INFO, { argsz: length, index }, Math.max(length, 32));
    return this.ioctl(device, 'VFIO_DEVICE_GET_REGION_INFO', { before, after });
  }

  irqInfo(device: Opened, index: number, count: number, flags = 9, errno = 0): this {
    const request = { argsz: 16, index };
    return this.struct(
      device,
      'VFIO_DEVICE_GET_IRQ_INFO',
      IRQ_INFO,
      request,
      { ...request, count, flags },
      { errno },
    );
  }

  /** Container, group and device as a careful driver opens them, and what it asks first. */
  openNvme(definition: Partial<Omit<DeviceDefinition, 'id'>> = {}): {
    readonly container: Opened;
    readonly group: Opened;
    readonly device: Opened;
  } {
    const container = this.container();
    this.ioctl(container, 'VFIO_GET_API_VERSION', {});
    this.ioctl(container, 'VFIO_CHECK_EXTENSION', { argument: 3n, result: 1n });
    const group = this.group();
    this.groupStatus(group);
    this.setContainer(group, container);
    this.setIommu(container);
    const device = this.getDevice(group, definition);
    this.deviceInfo(device);
    this.regionInfo(device, 0, { size: 0x4000n });
    this.regionInfo(device, 7, { size: 0x1000n, flags: 3 });
    for (const [index, count] of [1, 1, 16, 1, 1].entries()) this.irqInfo(device, index, count);
    return { container, group, device };
  }

  // --- ioctls ------------------------------------------------------------------------------------------------

  ioctl({ object, fd }: Opened, name: string, record: IoctlRecord = {}): this {
    const objectKind = this.#objects[object - 1]?.kind ?? 0;
    const request = ioctlsNamed(name).find(({ kind }) => kind === objectKind)?.request;
    if (request === undefined) throw new Error(`no ${name} of an object of kind ${objectKind}`);
    const payloads: Payload[] = [];
    const add = (role: number, data: Uint8Array | undefined) => {
      if (data !== undefined) payloads.push({ role, data });
    };
    add(PayloadRole.IN, record.before);
    add(PayloadRole.OUT, record.after);
    add(PayloadRole.POINTED, record.pointed);
    add(PayloadRole.POINTED_OUT, record.pointedAfter);
    add(PayloadRole.KIND, record.kind);
    const errno = record.errno ?? 0;
    const row = {
      kind: EventKind.IOCTL,
      object,
      fd,
      op: request,
      value: record.argument ?? 0x7ffc_0000_0000n,
      result: record.result ?? (errno === 0 ? 0n : -1n),
      errno,
      payloads,
    };
    return this.event(row, record.durationNs ?? 0);
  }

  /** An ioctl whose argument is this structure. */
  struct<L extends Layout>(
    opened: Opened,
    name: string,
    layout: L,
    before: PartialValues<L>,
    after: PartialValues<L> | undefined = undefined,
    record: IoctlRecord = {},
  ): this {
    const failed = (record.errno ?? 0) !== 0;
    return this.ioctl(opened, name, {
      before: encode(layout, before),
      ...(after !== undefined && !failed && { after: encode(layout, after) }),
      ...record,
    });
  }

  /** flags: DATA 1 NONE, 2 BOOL, 4 EVENTFD; ACTION 8 MASK, 16 UNMASK, 32 TRIGGER. */
  setIrqs(
    device: Opened,
    request: {
      readonly index: number;
      readonly flags?: number;
      readonly start?: number;
      readonly count?: number;
      readonly eventfds?: readonly (Opened | -1)[];
      readonly argsz?: number;
      readonly errno?: number;
    },
  ): this {
    const { index, start = 0, eventfds, errno = 0 } = request;
    const flags = request.flags ?? (eventfds === undefined ? 0x21 : 0x24);
    const count = request.count ?? eventfds?.length ?? 0;
    const length = 20 + (eventfds?.length ?? 0) * 4;
    const before = encode(IRQ_SET, { argsz: request.argsz ?? length, flags, index, start, count }, length);
    const view = new DataView(before.buffer);
    eventfds?.forEach((eventfd, i) => {
      view.setInt32(20 + i * 4, eventfd === -1 ? -1 : eventfd.fd, true);
    });
    const kinds = new Uint32Array((eventfds?.length ?? 0) * 2);
    eventfds?.forEach((eventfd, i) => {
      if (eventfd !== -1) kinds.set([ObjectKind.EVENTFD, eventfd.object], i * 2);
    });
    return this.ioctl(device, 'VFIO_DEVICE_SET_IRQS', { before, kind: new Uint8Array(kinds.buffer), errno });
  }

  reset(device: Opened, errno = 0): this {
    return this.ioctl(device, 'VFIO_DEVICE_RESET', { errno });
  }

  /** SET of VFIO_DEVICE_FEATURE, by number. */
  feature(device: Opened, feature: number, errno = 0): this {
    const before = encode(DEVICE_FEATURE, { argsz: 8, flags: feature | (1 << 17) });
    return this.ioctl(device, 'VFIO_DEVICE_FEATURE', { before, errno });
  }

  // --- DMA ---------------------------------------------------------------------------------------------------

  mapDma(
    container: Opened,
    { iova, size, vaddr = 0x7f80_0000_0000n + iova, flags = 3, errno = 0, durationNs = 0 }: DmaRequest,
  ): this {
    const request = { argsz: 32, flags, vaddr, iova, size };
    return this.struct(container, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, request, request, { errno, durationNs });
  }

  /** `unmapped`: what the kernel says that it took away; `size` by default. */
  unmapDma(
    container: Opened,
    request: {
      readonly iova: bigint;
      readonly size: bigint;
      readonly flags?: number;
      readonly unmapped?: bigint;
      readonly errno?: number;
    },
  ): this {
    const { iova, size, flags = 0, errno = 0 } = request;
    const before = { argsz: 24, flags, iova, size };
    const after = { ...before, size: request.unmapped ?? size };
    return this.struct(container, 'VFIO_IOMMU_UNMAP_DMA', DMA_UNMAP, before, after, { errno });
  }

  // --- configuration space and registers ---------------------------------------------------------------------

  configRead(device: Opened, offset: number, width: number, value: number | Uint8Array, errno = 0): this {
    return this.#transfer(EventKind.READ, device, 7, offset, width, value, errno);
  }

  configWrite(device: Opened, offset: number, width: number, value: number | Uint8Array, errno = 0): this {
    return this.#transfer(EventKind.WRITE, device, 7, offset, width, value, errno);
  }

  regionRead(
    device: Opened,
    region: number,
    offset: number,
    width: number,
    value: number | Uint8Array,
    errno = 0,
  ): this {
    return this.#transfer(EventKind.READ, device, region, offset, width, value, errno);
  }

  regionWrite(
    device: Opened,
    region: number,
    offset: number,
    width: number,
    value: number | Uint8Array,
    errno = 0,
  ): this {
    return this.#transfer(EventKind.WRITE, device, region, offset, width, value, errno);
  }

  #transfer(
    kind: number,
    { object, fd }: Opened,
    region: number,
    offset: number,
    width: number,
    value: number | Uint8Array,
    errno: number,
  ): this {
    const bytes = typeof value === 'number' ? undefined : value;
    return this.event({
      kind,
      object,
      fd,
      op: width,
      offset: this.#regionOffset(object, region) + BigInt(offset),
      value: bytes === undefined ? BigInt(value as number) : firstBytes(bytes),
      result: errno === 0 ? BigInt(width) : -1n,
      errno,
      payloads: bytes === undefined || bytes.length <= 8 ? [] : [{ role: PayloadRole.DATA, data: bytes }],
    });
  }

  load(device: Opened, region: number, offset: number, width: number, value: number | bigint): this {
    return this.#access(EventKind.LOAD, device, region, offset, width, value);
  }

  store(device: Opened, region: number, offset: number, width: number, value: number | bigint): this {
    return this.#access(EventKind.STORE, device, region, offset, width, value);
  }

  /** A read-modify-write. */
  update(device: Opened, region: number, offset: number, width: number, value: number | bigint): this {
    return this.#access(EventKind.UPDATE, device, region, offset, width, value);
  }

  /** An access that never completed: the driver died of it. */
  fatal(device: Opened, kind: 'load' | 'store', region: number, offset: number, width: number): this {
    return this.event({
      kind: kind === 'load' ? EventKind.LOAD : EventKind.STORE,
      flags: EventFlag.INTENT,
      object: device.object,
      op: region | (width << 8),
      offset: BigInt(offset),
    });
  }

  #access(
    kind: number,
    { object }: Opened,
    region: number,
    offset: number,
    width: number,
    value: number | bigint,
  ): this {
    return this.event({
      kind,
      object,
      op: region | (width << 8),
      offset: BigInt(offset),
      value: BigInt(value),
    });
  }

  // --- memory ------------------------------------------------------------------------------------------------

  /** mmap of a region; answers where it lies. `protection`: 1 READ, 2 WRITE, 4 EXEC; `flags`: 1 MAP_SHARED. */
  map(
    { object, fd }: Opened,
    region: number,
    length: bigint,
    options: {
      readonly offset?: bigint;
      readonly protection?: number;
      readonly flags?: number;
      readonly errno?: number;
    } = {},
  ): bigint {
    const { offset = 0n, protection = 3, flags = 1, errno = 0 } = options;
    const address = this.#address(length);
    this.event({
      kind: EventKind.MMAP,
      object,
      fd,
      op: protection | (flags << 8),
      offset: this.#regionOffset(object, region) + offset,
      value: length,
      result: errno === 0 ? address : -1n,
      errno,
    });
    return address;
  }

  #regionOffset(object: number, region: number): bigint {
    const lyon = this.#objects[object - 1]?.kind === ObjectKind.LYON_DEVICE;
    return lyon ? lyonRegionOffset(region) : defaultRegionOffset(region);
  }

  #address(length: bigint): bigint {
    const address = this.#nextAddress;
    this.#nextAddress += (length + 0xfffn) & ~0xfffn;
    return address;
  }

  /** Anonymous memory. */
  memory(length: bigint, address = this.#address(length), flags = 0x22): bigint {
    this.event({ kind: EventKind.MMAP, op: 3 | (flags << 8), value: length, result: address });
    return address;
  }

  unmap(address: bigint, length: bigint, errno = 0): this {
    return this.event({
      kind: EventKind.MUNMAP,
      offset: address,
      value: length,
      result: errno === 0 ? 0n : -1n,
      errno,
    });
  }

  madvise(address: bigint, length: bigint, advice: number): this {
    return this.event({ kind: EventKind.MADVISE, offset: address, value: length, op: advice });
  }

  mprotect(address: bigint, length: bigint, protection: number): this {
    return this.event({ kind: EventKind.MPROTECT, offset: address, value: length, op: protection });
  }

  // --- interrupts --------------------------------------------------------------------------------------------

  eventfd(): Opened {
    const object = this.#object(ObjectKind.EVENTFD, '');
    const fd = this.#nextFd++;
    this.event({ kind: EventKind.EVENTFD, object, fd, result: BigInt(fd) });
    return { object, fd };
  }

  /** epoll_wait returned it. */
  wake({ object, fd }: Opened): this {
    return this.event({ kind: EventKind.WAKE, object, fd, op: 4, value: 1n, result: 1n });
  }

  readEventfd({ object, fd }: Opened, count = 1n, errno = 0): this {
    return this.event({
      kind: EventKind.READ,
      object,
      fd,
      op: 8,
      value: count,
      result: errno === 0 ? 8n : -1n,
      errno,
    });
  }

  writeEventfd({ object, fd }: Opened, count = 1n): this {
    return this.event({ kind: EventKind.WRITE, object, fd, op: 8, value: count, result: 8n });
  }

  // --- processes ---------------------------------------------------------------------------------------------

  fork(child: number): this {
    return this.event({ kind: EventKind.FORK, result: BigInt(child) });
  }

  signal(number: number, address = 0n): this {
    return this.event({ kind: EventKind.SIGNAL, op: number, offset: address });
  }

  exit(status = 0): this {
    return this.event({ kind: EventKind.EXIT, op: status });
  }
}

function firstBytes(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = Math.min(bytes.length, 8) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

/** As many as fit; false: there were none left. */
function fill(batch: EventBatch, rows: Iterator<PlacedRow, void, undefined>): boolean {
  batch.clear();
  while (batch.length < batch.capacity) {
    const { value: row } = rows.next();
    if (row === undefined) break;
    const i = batch.length++;
    batch.kind[i] = row.kind;
    batch.flags[i] = row.flags ?? 0;
    batch.thread[i] = row.thread;
    batch.object[i] = row.object ?? 0;
    batch.fd[i] = row.fd ?? -1;
    batch.op[i] = row.op ?? 0;
    batch.time[i] = BigInt(row.time + row.duration);
    batch.duration[i] = BigInt(row.duration);
    batch.offset[i] = BigInt.asUintN(64, row.offset ?? 0n);
    batch.value[i] = BigInt.asUintN(64, row.value ?? 0n);
    batch.result[i] = row.result ?? 0n;
    batch.errno[i] = row.errno ?? 0;
    batch.site[i] = 0;
    for (const { role, data } of row.payloads ?? []) {
      const start = batch.payloads.add(i, role, 0, 0, 0n, data.length);
      batch.payloads.bytes.set(data, start);
    }
  }
  return batch.length > 0;
}
