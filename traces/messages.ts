// SPDX-License-Identifier: Apache-2.0
/**
 * The low-rate messages of trace.proto as tables: small to load (nothing parses a schema or compiles code when the
 * command starts), bounded while decoding, fixed64 as bigint. messages.test.ts holds them against trace.proto.
 */
import protobuf from 'protobufjs/minimal.js';
import { MAX_STRING_BYTES } from './limits.js';
import type {
  ClockPair,
  Definitions,
  DeviceDefinition,
  DmaComparison,
  DmaLeftOut,
  HostDescription,
  MmioSiteDefinition,
  ModuleDefinition,
  ObjectDefinition,
  ProcessDefinition,
  ProcessEnding,
  RecordingModes,
  ResourceDescription,
  RingPosition,
  SiteDefinition,
  ThreadDefinition,
  TraceClock,
  TraceHeader,
  TraceLoss,
  TraceSummary,
} from './model.js';

type Kind<V> = [V] extends [bigint]
  ? 'fixed64'
  : [V] extends [number]
    ? 'uint32' | 'int32' | 'uint64' | 'double'
    : [V] extends [string]
      ? 'string'
      : [V] extends [boolean]
        ? 'bool'
        : [V] extends [Uint8Array]
          ? 'bytes'
          : Message<V>;
type Spec<V> = [V] extends [readonly (infer E)[]]
  ? readonly [number: number, kind: Kind<E>, repeated: 'repeated']
  : readonly [number: number, kind: Kind<V>];

type ScalarKind = 'uint32' | 'int32' | 'uint64' | 'fixed64' | 'double' | 'string' | 'bool' | 'bytes';

interface Field {
  readonly name: string;
  readonly number: number;
  readonly kind: ScalarKind | Message<unknown>;
  readonly repeated: boolean;
}

export interface Message<T> {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Never set: makes Message<A> and Message<B> different types. */
  readonly type?: T;
}

function message<T>(name: string, specs: { readonly [K in keyof T]: Spec<T[K]> }): Message<T> {
  const fields: Field[] = [];
  for (const [field, spec] of Object.entries<readonly [number, unknown, string?]>(specs)) {
    fields.push({
      name: field,
      number: spec[0],
      kind: spec[1] as Field['kind'],
      repeated: spec[2] === 'repeated',
    });
  }
  return { name, fields };
}

const HOST = message<HostDescription>('Host', {
  kernel: [1, 'string'],
  machine: [2, 'string'],
  cpu: [3, 'string'],
  cpus: [4, 'uint32'],
  hostname: [5, 'string'],
  os: [6, 'string'],
  kernelCommandLine: [7, 'string'],
});

const MODES = message<RecordingModes>('Modes', {
  dialect: [1, 'string'],
  mmio: [2, 'string'],
  whenFull: [3, 'string'],
  dma: [4, 'string'],
  backend: [5, 'string'],
  ringBytes: [6, 'uint64'],
  maxSize: [7, 'uint64'],
  atLimit: [8, 'string'],
  durationNs: [9, 'uint64'],
  watch: [10, 'string', 'repeated'],
});

const CLOCK_PAIR = message<ClockPair>('ClockPair', {
  ticks: [1, 'fixed64'],
  monotonicNs: [2, 'fixed64'],
  realtimeNs: [3, 'fixed64'],
});

const CLOCK = message<TraceClock>('Clock', {
  source: [1, 'string'],
  ticksPerSecond: [2, 'double'],
  baseTicks: [3, 'fixed64'],
  baseMonotonicNs: [4, 'fixed64'],
  baseRealtimeNs: [5, 'fixed64'],
  pairs: [6, CLOCK_PAIR, 'repeated'],
});

export const HEADER = message<TraceHeader>('Header', {
  versionMajor: [1, 'uint32'],
  versionMinor: [2, 'uint32'],
  recorder: [3, 'string'],
  host: [4, HOST],
  command: [5, 'string', 'repeated'],
  modes: [6, MODES],
  clock: [7, CLOCK],
});

const PROCESS = message<ProcessDefinition>('Process', {
  id: [1, 'uint32'],
  pid: [2, 'uint32'],
  parentPid: [3, 'uint32'],
  exe: [4, 'string'],
  argv: [5, 'string', 'repeated'],
});

const THREAD = message<ThreadDefinition>('Thread', {
  id: [1, 'uint32'],
  process: [2, 'uint32'],
  tid: [3, 'uint32'],
  name: [4, 'string'],
});

const OBJECT = message<ObjectDefinition>('Object', {
  id: [1, 'uint32'],
  kind: [2, 'uint32'],
  path: [3, 'string'],
  parent: [4, 'uint32'],
  process: [5, 'uint32'],
  seenBorn: [6, 'bool'],
  device: [7, 'uint32'],
});

const MODULE = message<ModuleDefinition>('Module', {
  id: [1, 'uint32'],
  process: [2, 'uint32'],
  start: [3, 'fixed64'],
  end: [4, 'fixed64'],
  fileOffset: [5, 'fixed64'],
  path: [6, 'string'],
  buildId: [7, 'bytes'],
});

const SITE = message<SiteDefinition>('Site', {
  id: [1, 'uint32'],
  process: [2, 'uint32'],
  address: [3, 'fixed64'],
  module: [4, 'uint32'],
  moduleOffset: [5, 'fixed64'],
});

const RESOURCE = message<ResourceDescription>('Resource', {
  index: [1, 'uint32'],
  size: [2, 'fixed64'],
  flags: [3, 'fixed64'],
});

const DEVICE = message<DeviceDefinition>('Device', {
  id: [1, 'uint32'],
  bdf: [2, 'string'],
  vendor: [3, 'uint32'],
  device: [4, 'uint32'],
  classCode: [5, 'uint32'],
  subsystemVendor: [6, 'uint32'],
  subsystemDevice: [7, 'uint32'],
  revision: [8, 'uint32'],
  driver: [9, 'string'],
  iommuGroup: [10, 'string'],
  resources: [11, RESOURCE, 'repeated'],
  config: [12, 'bytes'],
  resetMethod: [13, 'string'],
  numaNode: [14, 'int32'],
});

const MMIO_SITE = message<MmioSiteDefinition>('MmioSite', {
  site: [1, 'uint32'],
  instruction: [2, 'bytes'],
  tier: [3, 'uint32'],
  reason: [4, 'uint32'],
  process: [5, 'uint32'],
});

export const DEFINITIONS = message<Definitions>('Definitions', {
  processes: [1, PROCESS, 'repeated'],
  threads: [2, THREAD, 'repeated'],
  objects: [3, OBJECT, 'repeated'],
  modules: [4, MODULE, 'repeated'],
  sites: [5, SITE, 'repeated'],
  devices: [6, DEVICE, 'repeated'],
  mmioSites: [7, MMIO_SITE, 'repeated'],
});

export const RING_POSITION = message<RingPosition>('RingPosition', {
  ring: [1, 'uint32'],
  records: [2, 'fixed64'],
  side: [3, 'fixed64'],
});

const LOSS = message<TraceLoss>('Loss', {
  cause: [1, 'string'],
  events: [2, 'uint64'],
  bytes: [3, 'uint64'],
  process: [4, 'uint32'],
  detail: [5, 'string'],
});

const ENDING = message<ProcessEnding>('Ending', {
  process: [1, 'uint32'],
  exitStatus: [2, 'int32'],
  signal: [3, 'int32'],
});

const DMA_LEFT_OUT = message<DmaLeftOut>('DmaLeftOut', {
  why: [1, 'string'],
  mappings: [2, 'uint64'],
  bytes: [3, 'uint64'],
});

const DMA_COMPARISON = message<DmaComparison>('DmaComparison', {
  bytesMost: [1, 'uint64'],
  comparisons: [2, 'uint64'],
  pages: [3, 'uint64'],
  ns: [4, 'uint64'],
  skipped: [5, 'uint64'],
  mapped: [6, 'uint64'],
  tracked: [7, 'uint64'],
  leftOut: [8, DMA_LEFT_OUT, 'repeated'],
});

export const SUMMARY = message<TraceSummary>('Summary', {
  clock: [1, CLOCK],
  events: [2, 'uint64'],
  losses: [3, LOSS, 'repeated'],
  endings: [4, ENDING, 'repeated'],
  complete: [5, 'bool'],
  stoppedBy: [6, 'string'],
  waits: [7, 'uint64'],
  waitedNs: [8, 'uint64'],
  droppedEvents: [9, 'uint64'],
  lateEvents: [10, 'uint64'],
  kindCounts: [11, 'uint64', 'repeated'],
  dmaComparisons: [12, DMA_COMPARISON, 'repeated'],
});

/** The message types that a packet or a chunk holds as they are; the others hang below them. */
export const MESSAGES: readonly Message<unknown>[] = [HEADER, DEFINITIONS, RING_POSITION, SUMMARY];

/** Encodes a message, without length. */
export function encodeMessage<T>(type: Message<T>, value: T): Uint8Array {
  const writer = protobuf.Writer.create();
  write(writer, type, value as Readonly<Record<string, unknown>>);
  return writer.finish();
}

/** The bytes are somebody else's: a RangeError or Error says that they are not such a message. */
export function decodeMessage<T>(type: Message<T>, bytes: Uint8Array): T {
  const reader = protobuf.Reader.create(bytes);
  return read(reader, type, reader.len) as T;
}

/** A UTF-8 string of at most MAX_STRING_BYTES; unpaired surrogates become U+FFFD, as proto3 demands UTF-8. */
function utf8(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= MAX_STRING_BYTES) {
    return bytes;
  }
  let end = MAX_STRING_BYTES;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end--;
  }
  return bytes.subarray(0, end);
}

export function longOf(value: bigint): { low: number; high: number; unsigned: boolean } {
  return {
    low: Number(BigInt.asIntN(32, value)),
    high: Number(BigInt.asIntN(32, value >> 32n)),
    unsigned: true,
  };
}

export function bigintOf(long: { readonly low: number; readonly high: number }): bigint {
  return (BigInt(long.high >>> 0) << 32n) | BigInt(long.low >>> 0);
}

export function numberOf(long: { readonly low: number; readonly high: number }): number {
  return (long.high >>> 0) * 4294967296 + (long.low >>> 0);
}

function write(
  writer: protobuf.Writer,
  type: Message<unknown>,
  value: Readonly<Record<string, unknown>>,
): void {
  for (const field of type.fields) {
    const content = value[field.name];
    if (field.repeated) {
      const list = content as readonly unknown[];
      if (field.kind === 'uint64' && list.length > 0) {
        writer.uint32((field.number << 3) | 2).fork();
        for (const element of list) {
          writer.uint64(element as number);
        }
        writer.ldelim();
      } else {
        for (const element of list) {
          writeField(writer, field, element);
        }
      }
    } else if (!isDefault(content)) {
      writeField(writer, field, content);
    }
  }
}

function isDefault(value: unknown): boolean {
  return (
    value === 0 ||
    value === '' ||
    value === false ||
    value === 0n ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeField(writer: protobuf.Writer, field: Field, value: unknown): void {
  const tag = field.number << 3;
  switch (field.kind) {
    case 'uint32':
      writer.uint32(tag).uint32(value as number);
      break;
    case 'int32':
      writer.uint32(tag).int32(value as number);
      break;
    case 'uint64':
      writer.uint32(tag).uint64(value as number);
      break;
    case 'bool':
      writer.uint32(tag).bool(value as boolean);
      break;
    case 'fixed64':
      writer.uint32(tag | 1).fixed64(longOf(value as bigint) as never);
      break;
    case 'double':
      writer.uint32(tag | 1).double(value as number);
      break;
    case 'string':
      writer.uint32(tag | 2).bytes(utf8(value as string));
      break;
    case 'bytes':
      writer.uint32(tag | 2).bytes(value as Uint8Array);
      break;
    default:
      writer.uint32(tag | 2).fork();
      write(writer, field.kind, value as Readonly<Record<string, unknown>>);
      writer.ldelim();
  }
}

const NO_BYTES = new Uint8Array(0);

function defaultOf(field: Field): unknown {
  if (field.repeated) {
    return [];
  }
  switch (field.kind) {
    case 'uint32':
    case 'int32':
    case 'uint64':
    case 'double':
      return 0;
    case 'fixed64':
      return 0n;
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'bytes':
      return NO_BYTES;
    default:
      return empty(field.kind);
  }
}

function empty(type: Message<unknown>): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const field of type.fields) {
    value[field.name] = defaultOf(field);
  }
  return value;
}

function wireType(kind: Field['kind']): number {
  switch (kind) {
    case 'uint32':
    case 'int32':
    case 'uint64':
    case 'bool':
      return 0;
    case 'fixed64':
    case 'double':
      return 1;
    default:
      return 2;
  }
}

function read(reader: protobuf.Reader, type: Message<unknown>, end: number): Record<string, unknown> {
  const value = empty(type);
  while (reader.pos < end) {
    const tag = reader.uint32();
    const number = tag >>> 3;
    const field = type.fields.find((candidate) => candidate.number === number);
    if (field === undefined) {
      reader.skipType(tag & 7, 0, number);
    } else if (field.repeated && field.kind === 'uint64' && (tag & 7) === 2) {
      const stop = lengthEnd(reader, end);
      while (reader.pos < stop) {
        (value[field.name] as unknown[]).push(numberOf(reader.uint64() as protobuf.Long));
      }
      mustEndAt(reader, stop);
    } else if ((tag & 7) !== wireType(field.kind)) {
      reader.skipType(tag & 7, 0, number);
    } else if (field.repeated) {
      (value[field.name] as unknown[]).push(readValue(reader, field, end));
    } else {
      value[field.name] = readValue(reader, field, end);
    }
  }
  mustEndAt(reader, end);
  return value;
}

function lengthEnd(reader: protobuf.Reader, outer: number): number {
  const length = reader.uint32();
  if (length > outer - reader.pos) {
    throw new RangeError(`length ${length} at ${reader.pos} leaves its message, which ends at ${outer}`);
  }
  return reader.pos + length;
}

function mustEndAt(reader: protobuf.Reader, end: number): void {
  if (reader.pos !== end) {
    throw new RangeError(`a field ends at ${reader.pos}, its message at ${end}`);
  }
}

function readValue(reader: protobuf.Reader, field: Field, end: number): unknown {
  switch (field.kind) {
    case 'uint32':
      return reader.uint32();
    case 'int32':
      return reader.int32();
    case 'uint64':
      return numberOf(reader.uint64() as protobuf.Long);
    case 'bool':
      return reader.bool();
    case 'fixed64':
      return bigintOf(reader.fixed64() as protobuf.Long);
    case 'double':
      return reader.double();
    case 'string': {
      const stop = lengthEnd(reader, end);
      const text = Buffer.from(
        reader.buf.buffer,
        reader.buf.byteOffset + reader.pos,
        stop - reader.pos,
      ).toString('utf8');
      reader.pos = stop;
      return text;
    }
    case 'bytes': {
      const stop = lengthEnd(reader, end);
      const bytes = Uint8Array.from(reader.buf.subarray(reader.pos, stop));
      reader.pos = stop;
      return bytes;
    }
    default: {
      const stop = lengthEnd(reader, end);
      return read(reader, field.kind, stop);
    }
  }
}
