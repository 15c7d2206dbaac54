// SPDX-License-Identifier: Apache-2.0
import { type Event, EventFlag, EventKind, ObjectKind, PayloadRole } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';

/** One access to a BAR as the recorder tells it: a load or a store, half of a read-modify-write, or a pread or pwrite. */
export interface RecordedAccess {
  readonly thread: number;
  readonly bdf: string;
  readonly region: number;
  readonly offset: bigint;
  readonly width: number;
  /** Undefined: the trace says that it doesn't know. */
  readonly value: bigint | undefined;
  readonly write: boolean;
  /** A system call that the kernel made into accesses. */
  readonly call: boolean;
  /** ns: when it began; when the next thing began in this thread, so that it was over. */
  readonly began: number;
  readonly over: number;
  readonly event: number;
}

const BARS = 6;
/** VFIO_PCI_OFFSET_TO_INDEX of vfio_pci_core.h. */
const REGION_SHIFT = 40n;

/** By thread, in the order of the program. */
export function recordedAccesses(trace: Trace): ReadonlyMap<number, readonly RecordedAccess[]> {
  const threads = new Map<number, RecordedAccess[]>();
  const open = new Map<number, { -readonly [K in keyof RecordedAccess]: RecordedAccess[K] }[]>();
  for (const event of trace.events()) {
    for (const access of open.get(event.thread) ?? []) access.over = event.time;
    open.delete(event.thread);
    const accesses = accessesOf(trace, event);
    if (accesses.length === 0) continue;
    open.set(event.thread, accesses);
    const list = threads.get(event.thread) ?? [];
    list.push(...accesses);
    threads.set(event.thread, list);
  }
  return threads;
}

function accessesOf(
  trace: Trace,
  event: Event,
): { -readonly [K in keyof RecordedAccess]: RecordedAccess[K] }[] {
  const object = trace.definitions.objects.get(event.object);
  if (object === undefined || (object.kind !== ObjectKind.DEVICE && object.kind !== ObjectKind.CDEV))
    return [];
  const common = {
    thread: event.thread,
    bdf: trace.definitions.devices.get(object.device)?.bdf ?? '',
    began: event.time,
    over: Number.POSITIVE_INFINITY,
    event: event.number,
  };
  // Refused: the device never saw it.
  if (event.errno !== 0 && event.kind !== EventKind.READ && event.kind !== EventKind.WRITE) return [];
  switch (event.kind) {
    case EventKind.LOAD:
    case EventKind.STORE:
    case EventKind.UPDATE: {
      const width = (event.op >>> 8) & 0xff;
      const unknown = (event.flags & (EventFlag.UNKNOWN | EventFlag.INTENT)) !== 0;
      const place = { ...common, region: event.op & 0xff, offset: event.offset, width, call: false };
      const value = (bits: bigint): bigint =>
        width > 8 ? (dataOf(event, width) ?? 0n) : BigInt.asUintN(width * 8, bits);
      const told = (bits: bigint): bigint | undefined => (unknown ? undefined : value(bits));
      if (event.kind === EventKind.LOAD) return [{ ...place, write: false, value: told(event.value) }];
      if (event.kind === EventKind.STORE) return [{ ...place, write: true, value: told(event.value) }];
      return [
        { ...place, write: false, value: told(event.result) },
        { ...place, write: true, value: told(event.value) },
      ];
    }
    case EventKind.READ:
    case EventKind.WRITE: {
      const region = Number(event.offset >> REGION_SHIFT);
      if (event.result <= 0n || region >= BARS) return [];
      const width = Number(event.result);
      const offset = BigInt.asUintN(Number(REGION_SHIFT), event.offset);
      const value = width > 8 ? dataOf(event, width) : BigInt.asUintN(width * 8, event.value);
      return [{ ...common, region, offset, width, call: true, write: event.kind === EventKind.WRITE, value }];
    }
    default:
      return [];
  }
}

/** What is too wide for a field; undefined where the trace did not keep all of it. */
function dataOf(event: Event, width: number): bigint | undefined {
  const data = event.payloads.find(({ role }) => role === PayloadRole.DATA)?.data;
  if (data === undefined || data.length < width) return undefined;
  return data.subarray(0, width).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
