// SPDX-License-Identifier: Apache-2.0
import type { EventGroups } from './event-groups.js';
import type { Payload } from './model.js';

/** At most so many events in a chunk: 16 bits number them. */
export const CHUNK_EVENTS = 65536;
/** At most so many payload bytes in a chunk, before compression. */
export const CHUNK_PAYLOAD_BYTES = 16 << 20;
/** At most so many payload segments in a chunk. */
export const CHUNK_PAYLOADS = 1 << 19;

export type ColumnName =
  | 'kind'
  | 'flags'
  | 'thread'
  | 'object'
  | 'fd'
  | 'op'
  | 'time'
  | 'duration'
  | 'offset'
  | 'value'
  | 'result'
  | 'errno'
  | 'site';

export const COLUMN_NAMES: readonly ColumnName[] = [
  'kind',
  'flags',
  'thread',
  'object',
  'fd',
  'op',
  'time',
  'duration',
  'offset',
  'value',
  'result',
  'errno',
  'site',
];

/** What goes wrong with the bytes of a payload on their way: bits of PayloadColumns.flags, as in the wire record. */
export const PAYLOAD_CUT = 1;
export const PAYLOAD_FAULT = 2;
export const PAYLOAD_REDACTED = 4;

/** The payload segments of a batch, in the order of their events. */
export class PayloadColumns {
  length = 0;
  bytesUsed = 0;
  event = new Uint32Array(64);
  role = new Uint32Array(64);
  index = new Uint32Array(64);
  flags = new Uint8Array(64);
  address = new BigUint64Array(64);
  start = new Uint32Array(64);
  size = new Uint32Array(64);
  bytes: Uint8Array = new Uint8Array(4096);

  clear(): void {
    this.length = 0;
    this.bytesUsed = 0;
  }

  /** Whether segments with so many bytes in all still fit in this chunk. */
  hasRoom(segments: number, bytes: number): boolean {
    return this.length + segments <= CHUNK_PAYLOADS && this.bytesUsed + bytes <= CHUNK_PAYLOAD_BYTES;
  }

  /** Adds a segment and says where in `bytes` its data belongs; the caller copies it there. */
  add(event: number, role: number, index: number, flags: number, address: bigint, size: number): number {
    if (!this.hasRoom(1, size)) {
      throw new RangeError(
        `payload of ${size} bytes does not fit: ${this.length} segments, ${this.bytesUsed} bytes`,
      );
    }
    if (this.bytesUsed + size > this.bytes.length) {
      this.growBytes(this.bytesUsed + size);
    }
    const start = this.bytesUsed;
    this.bytesUsed = start + size;
    this.refer(event, role, index, flags, address, start, size);
    return start;
  }

  /** Takes these bytes, which are nobody else's, for segments to refer to. */
  adopt(bytes: Uint8Array): void {
    // Not as the Buffer that it may be: Buffer's slice does not copy.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.bytesUsed = bytes.length;
  }

  /** Adds a segment whose data is in `bytes` already. */
  refer(
    event: number,
    role: number,
    index: number,
    flags: number,
    address: bigint,
    start: number,
    size: number,
  ): void {
    const n = this.length;
    if (n === this.event.length) {
      this.growSegments();
    }
    this.event[n] = event;
    this.role[n] = role;
    this.index[n] = index;
    this.flags[n] = flags;
    this.address[n] = address;
    this.start[n] = start;
    this.size[n] = size;
    this.length = n + 1;
  }

  has(event: number): boolean {
    const first = this.firstOf(event);
    return first < this.length && this.event[first] === event;
  }

  /** The segments of one event, copied: they outlive the batch. */
  of(event: number): readonly Payload[] {
    const low = this.firstOf(event);
    if (low === this.length || this.event[low] !== event) {
      return NO_PAYLOADS;
    }
    const found: Payload[] = [];
    for (let n = low; n < this.length && this.event[n] === event; n++) {
      const start = this.start[n] ?? 0;
      const flags = this.flags[n] ?? 0;
      found.push({
        role: this.role[n] ?? 0,
        index: this.index[n] ?? 0,
        address: this.address[n] ?? 0n,
        cut: (flags & PAYLOAD_CUT) !== 0,
        fault: (flags & PAYLOAD_FAULT) !== 0,
        redacted: (flags & PAYLOAD_REDACTED) !== 0,
        data: this.bytes.slice(start, start + (this.size[n] ?? 0)),
      });
    }
    return found;
  }

  private firstOf(event: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.event[middle] ?? 0) < event) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  private growSegments(): void {
    const capacity = this.event.length * 2;
    this.event = enlarged(this.event, new Uint32Array(capacity));
    this.role = enlarged(this.role, new Uint32Array(capacity));
    this.index = enlarged(this.index, new Uint32Array(capacity));
    this.flags = enlarged(this.flags, new Uint8Array(capacity));
    this.start = enlarged(this.start, new Uint32Array(capacity));
    this.size = enlarged(this.size, new Uint32Array(capacity));
    const address = new BigUint64Array(capacity);
    address.set(this.address);
    this.address = address;
  }

  private growBytes(needed: number): void {
    this.bytes = enlarged(
      this.bytes,
      new Uint8Array(Math.min(CHUNK_PAYLOAD_BYTES, Math.max(needed, this.bytes.length * 2))),
    );
  }
}

const NO_PAYLOADS: readonly Payload[] = [];

function enlarged<T extends Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/**
 * Up to 65536 events as columns. The 64-bit columns can be read and written as bigint or, without creating one, as
 * pairs of 32-bit words: low word at 2i, high word at 2i+1 (the machine is little endian).
 *
 * The writer takes events 0 to length. A batch that a reader hands out is good until its next one is asked for; only
 * the columns that were asked for mean anything, in rows `begin` to `end`.
 */
export class EventBatch {
  /** Number in the recording of the event in row 0: given by the writer, and by the reader. */
  firstEvent = 0;
  /** The largest time of all rows, as the file says it; 0: it was not read from one. */
  lastTicks = 0n;
  length = 0;
  begin = 0;
  end = 0;

  readonly capacity: number;
  readonly kind: Uint8Array;
  readonly flags: Uint8Array;
  readonly thread: Uint32Array;
  readonly object: Uint32Array;
  readonly fd: Int32Array;
  readonly op: Uint32Array;
  /** Completion, ticks since Clock.base_ticks. */
  readonly time: BigUint64Array;
  readonly timeWords: Uint32Array;
  /** Ticks. */
  readonly duration: BigUint64Array;
  readonly durationWords: Uint32Array;
  readonly offset: BigUint64Array;
  readonly offsetWords: Uint32Array;
  readonly value: BigUint64Array;
  readonly valueWords: Uint32Array;
  readonly result: BigInt64Array;
  readonly resultWords: Uint32Array;
  readonly errno: Uint16Array;
  readonly site: Uint32Array;
  readonly payloads = new PayloadColumns();
  /** Of a query that asked for groups. */
  groups: EventGroups | undefined;

  constructor(capacity: number = CHUNK_EVENTS) {
    if (!(Number.isInteger(capacity) && capacity > 0 && capacity <= CHUNK_EVENTS)) {
      throw new RangeError(`a batch holds 1 to ${CHUNK_EVENTS} events, not ${capacity}`);
    }
    this.capacity = capacity;
    this.kind = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.thread = new Uint32Array(capacity);
    this.object = new Uint32Array(capacity);
    this.fd = new Int32Array(capacity);
    this.op = new Uint32Array(capacity);
    this.time = new BigUint64Array(capacity);
    this.timeWords = new Uint32Array(this.time.buffer);
    this.duration = new BigUint64Array(capacity);
    this.durationWords = new Uint32Array(this.duration.buffer);
    this.offset = new BigUint64Array(capacity);
    this.offsetWords = new Uint32Array(this.offset.buffer);
    this.value = new BigUint64Array(capacity);
    this.valueWords = new Uint32Array(this.value.buffer);
    this.result = new BigInt64Array(capacity);
    this.resultWords = new Uint32Array(this.result.buffer);
    this.errno = new Uint16Array(capacity);
    this.site = new Uint32Array(capacity);
  }

  clear(): void {
    this.length = 0;
    this.begin = 0;
    this.end = 0;
    this.payloads.clear();
  }
}
