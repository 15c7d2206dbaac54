// SPDX-License-Identifier: Apache-2.0
/**
 * A recorded session without a recorder: events written by hand, as the collector would give them to the writer.
 * One tick is one nanosecond.
 */
import { EventBatch } from '../../traces/columns.js';
import type {
  Definitions,
  DeviceDefinition,
  ModuleDefinition,
  ObjectDefinition,
  ProcessDefinition,
  SiteDefinition,
  ThreadDefinition,
  TraceHeader,
} from '../../traces/model.js';
import { EventKind, ObjectKind, PayloadRole } from '../../traces/model.js';

export interface SyntheticEvent {
  readonly kind: number;
  readonly flags?: number;
  readonly object?: number;
  readonly fd?: number;
  readonly op?: number;
  readonly offset?: bigint;
  readonly value?: bigint;
  readonly result?: bigint;
  readonly errno?: number;
  readonly duration?: number;
  readonly payloads?: readonly SyntheticPayload[];
}

export interface SyntheticPayload {
  readonly role: number;
  readonly data: Uint8Array;
  readonly index?: number;
  readonly flags?: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

export const HEADER: TraceHeader = {
  versionMajor: 1,
  versionMinor: 0,
  recorder: 'vfiotape 0.1.0',
  host: {
    kernel: '6.12.0',
    machine: 'x86_64',
    cpu: 'Synthetic CPU',
    cpus: 2,
    hostname: 'nowhere',
    os: 'Debian GNU/Linux 12 (bookworm)',
    kernelCommandLine: 'quiet intel_iommu=on',
  },
  command: ['./driver', '0000:00:04.0'],
  modes: {
    dialect: 'modern',
    mmio: 'off',
    whenFull: 'block',
    dma: 'off',
    backend: 'kernel',
    ringBytes: 1 << 20,
    maxSize: 0,
    atLimit: 'keep-last',
    durationNs: 0,
    watch: [],
  },
  clock: {
    source: 'tsc',
    ticksPerSecond: 1e9,
    baseTicks: 0n,
    baseMonotonicNs: 5_000_000_000n,
    baseRealtimeNs: 1_763_800_000_000_000_000n,
    pairs: [],
  },
};

export class SyntheticSession {
  readonly definitions: Mutable<Definitions> = {
    processes: [],
    threads: [],
    objects: [],
    modules: [],
    sites: [],
    devices: [],
    mmioSites: [],
  };
  readonly batch = new EventBatch();
  /** Of the events that follow. */
  thread = 1;
  site = 0;
  #now = 0;

  process(definition: Partial<ProcessDefinition> = {}): number {
    const id = this.definitions.processes.length + 1;
    this.definitions.processes.push({
      id,
      pid: 4710 + id,
      parentPid: 4000,
      exe: '/usr/bin/driver',
      argv: ['./driver', '0000:00:04.0'],
      ...definition,
    });
    return id;
  }

  addThread(process: number, definition: Partial<ThreadDefinition> = {}): number {
    const id = this.definitions.threads.length + 1;
    this.definitions.threads.push({ id, process, tid: 4710 + id, name: 'driver', ...definition });
    return id;
  }

  object(kind: number, definition: Partial<ObjectDefinition> = {}): number {
    const id = this.definitions.objects.length + 1;
    this.definitions.objects.push({
      id,
      kind,
      path: '',
      parent: 0,
      process: 1,
      seenBorn: true,
      device: 0,
      ...definition,
    });
    return id;
  }

  device(definition: Partial<DeviceDefinition> = {}): number {
    const id = this.definitions.devices.length + 1;
    this.definitions.devices.push({
      id,
      bdf: '0000:00:04.0',
      vendor: 0x1b36,
      device: 0x0010,
      classCode: 0x010802,
      subsystemVendor: 0x1af4,
      subsystemDevice: 0x1100,
      revision: 2,
      driver: 'vfio-pci',
      iommuGroup: '7',
      resources: [{ index: 0, size: 0x4000n, flags: 0x140204n }],
      config: new Uint8Array(0),
      resetMethod: 'flr',
      numaNode: -1,
      ...definition,
    });
    return id;
  }

  module(definition: Partial<ModuleDefinition> = {}): number {
    const id = this.definitions.modules.length + 1;
    this.definitions.modules.push({
      id,
      process: 1,
      start: 0x5555_5555_4000n,
      end: 0x5555_5556_0000n,
      fileOffset: 0x1000n,
      path: '/usr/bin/driver',
      buildId: new Uint8Array([0xab, 0xcd]),
      ...definition,
    });
    return id;
  }

  addSite(module: number, moduleOffset: bigint, definition: Partial<SiteDefinition> = {}): number {
    const id = this.definitions.sites.length + 1;
    this.definitions.sites.push({
      id,
      process: 1,
      address: 0x5555_5555_4000n + moduleOffset,
      module,
      moduleOffset,
      ...definition,
    });
    return id;
  }

  /** Each event begins 1 µs after the one before it ended. */
  add(event: SyntheticEvent): void {
    const { batch } = this;
    const row = batch.length++;
    batch.end = batch.length;
    const duration = event.duration ?? 250;
    this.#now += 1000 + duration;
    batch.kind[row] = event.kind;
    batch.flags[row] = event.flags ?? 0;
    batch.thread[row] = this.thread;
    batch.object[row] = event.object ?? 0;
    batch.fd[row] = event.fd ?? -1;
    batch.op[row] = event.op ?? 0;
    batch.time[row] = BigInt(this.#now);
    batch.duration[row] = BigInt(duration);
    batch.offset[row] = event.offset ?? 0n;
    batch.value[row] = event.value ?? 0n;
    batch.result[row] = event.result ?? 0n;
    batch.errno[row] = event.errno ?? 0;
    batch.site[row] = this.site;
    for (const { role, data, index = 0, flags = 0 } of event.payloads ?? []) {
      const start = batch.payloads.add(row, role, index, flags, 0n, data.length);
      batch.payloads.bytes.set(data, start);
    }
  }

  open(object: number, fd: number, path: string, flags = 2): void {
    const payloads = [{ role: PayloadRole.PATH, data: text(path) }];
    this.add({ kind: EventKind.OPEN, object, fd, op: flags, result: BigInt(fd), payloads });
  }

  ioctl(
    object: number,
    fd: number,
    op: number,
    rest: Omit<Partial<SyntheticEvent>, 'kind'> & IoctlBytes = {},
  ): void {
    const { before, after, pointed, pointedOut, returned, ...event } = rest;
    const payloads: SyntheticPayload[] = [];
    const add = (role: number, data: Uint8Array | undefined): void => {
      if (data !== undefined) payloads.push({ role, data });
    };
    add(PayloadRole.IN, before);
    add(PayloadRole.OUT, after);
    add(PayloadRole.POINTED, pointed);
    add(PayloadRole.POINTED_OUT, pointedOut);
    add(PayloadRole.KIND, returned === undefined ? undefined : words(ObjectKind.DEVICE, returned));
    this.add({
      ...event,
      kind: EventKind.IOCTL,
      object,
      fd,
      op,
      payloads: [...payloads, ...(event.payloads ?? [])],
    });
  }

  /** A device access of up to 8 bytes. */
  transfer(kind: number, object: number, fd: number, offset: bigint, width: number, value: bigint): void {
    this.add({ kind, object, fd, op: width, offset, value, result: BigInt(width) });
  }

  eventfd(fd: number): number {
    const object = this.object(ObjectKind.EVENTFD);
    this.add({ kind: EventKind.EVENTFD, object, fd, op: 0x80800, result: BigInt(fd) });
    return object;
  }
}

interface IoctlBytes {
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
  readonly pointed?: Uint8Array;
  readonly pointedOut?: Uint8Array;
  /** The object that the returned descriptor is. */
  readonly returned?: number;
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** 32-bit words, little endian. */
export function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values, (value) => value >>> 0).buffer);
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
