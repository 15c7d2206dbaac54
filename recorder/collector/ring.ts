// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  LONG_DURATION_UNIT,
  PAYLOAD_MAX,
  RECORD_BYTES,
  RecordField,
  RecordFlag,
  RecordKind,
  RING_HEADER_BYTES,
  RING_HEADER_USED_BYTES,
  RING_MAGIC,
  RingField,
  ringFile,
  SEGMENT_BYTES,
  SegmentField,
  SegmentFlag,
} from '../../abi/wire/record.js';

/** Records that are copied out of a ring at a time: few enough that the second look finds them in the cache. */
const BLOCK_RECORDS = 512;
const WINDOW_BYTES = 65536;
/** A slot that stays empty, or an access that stays unfinished, while its thread goes on: it never comes any more. */
const STUCK_MS = 1000;
const WORDS = RECORD_BYTES / 4;
const KIND_WORD = RecordField.kind / 4;
const DURATION_WORD = RecordField.duration / 4;

/** One payload segment of the present record; its bytes are in `RingReader.window`. */
export interface Segment {
  role: number;
  /** SegmentFlag bits. */
  flags: number;
  index: number;
  address: bigint;
  start: number;
  length: number;
}

/**
 * One ring, read in order. The present record is `words[at…at+15]`; `advance` moves on. Nothing is given back to the
 * thread that fills the ring until `release` says how far the trace file has it.
 */
export class RingReader {
  readonly index: number;
  readonly records: number;
  readonly sideBytes: number;
  private readonly fd: number;
  private readonly header = new Uint8Array(RING_HEADER_USED_BYTES);
  private readonly headerView = new DataView(this.header.buffer);
  private readonly block = new Uint8Array(BLOCK_RECORDS * RECORD_BYTES);
  /** Of the block: 16 words a record. */
  readonly words = new Uint32Array(this.block.buffer);
  /** Position after the last record that is copied out. */
  blockEnd = 0;

  /** Word index of the present record. */
  at = 0;
  /** Its completion, ticks since `base`; exact below 2^53. */
  time = 0;
  /** What the merge sorts by: a thread's own order stands even where its clock does not. */
  key = 0;

  /** Position of the present record: the number of records before it in this ring. */
  position = 0;
  /** Records reserved by the thread, as of the last sample. */
  head = 0;
  private sideHead = 0;
  /** Given back. */
  released = 0;
  private sideReleased = 0;
  /** The side ring may be given back up to here once the present record's predecessors are in the file. */
  sideDone = 0;

  pid = 0;
  tid = 0;
  process = 0;
  /** The thread that filled the ring is gone; what is not complete by now never will be. */
  dead = false;
  inflightTaken = false;
  /** Slots that were reserved and never filled. */
  holes = 0;
  damagedPayloads = 0;
  private lastEnteredLow = 0;
  private lastEnteredHigh = 0;
  private stuckAt = -1;
  private stuckSince = 0;
  private acceptIntentAt = -1;

  baseLow = 0;
  baseHigh = 0;

  window = new Uint8Array(0);
  private windowView = new DataView(this.window.buffer);
  private windowStart = 0;
  private windowLength = 0;
  private windowGoodFor = 0;
  readonly segments: Segment[] = [];
  segmentCount = 0;
  payloadBytes = 0;
  private chainEnd = 0;

  private readonly newest = new Uint32Array(WORDS);
  private readonly newestBytes = new Uint8Array(this.newest.buffer);
  private readonly tailPair = new BigUint64Array(2);
  private readonly tailBytes = new Uint8Array(this.tailPair.buffer);

  private constructor(index: number, fd: number, records: number, sideBytes: number) {
    this.index = index;
    this.fd = fd;
    this.records = records;
    this.sideBytes = sideBytes;
  }

  /** Undefined while the shim has not finished making it. */
  static open(directory: string, index: number): RingReader | undefined {
    let fd: number;
    try {
      fd = openSync(join(directory, ringFile(index)), 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const bytes = new Uint8Array(RING_HEADER_USED_BYTES);
    const got = readSync(fd, bytes, 0, bytes.length, 0);
    const view = new DataView(bytes.buffer);
    const recordsLog2 = view.getUint32(RingField.recordsLog2, true);
    const sideLog2 = view.getUint32(RingField.sideLog2, true);
    if (
      got < bytes.length ||
      view.getBigUint64(RingField.magic, true) !== RING_MAGIC ||
      recordsLog2 > 26 ||
      sideLog2 < 3 ||
      sideLog2 > 32
    ) {
      closeSync(fd);
      return undefined;
    }
    const ring = new RingReader(index, fd, 2 ** recordsLog2, 2 ** sideLog2);
    ring.sample();
    ring.position = ring.released;
    ring.sideDone = ring.sideReleased;
    return ring;
  }

  /** Ticks that all times are counted from. */
  setBase(base: bigint): void {
    this.baseLow = Number(base & 0xffff_ffffn);
    this.baseHigh = Number(base >> 32n);
  }

  /** After the recorder died: the file has everything before these positions. */
  skipTo(position: number, side: number): void {
    this.position = Math.max(this.position, position);
    this.sideDone = Math.max(this.sideDone, side);
  }

  /** Reads the header: how far the thread is, and who it is. */
  sample(): void {
    readSync(this.fd, this.header, 0, RING_HEADER_USED_BYTES, 0);
    const view = this.headerView;
    this.pid = view.getUint32(RingField.pid, true);
    this.tid = view.getUint32(RingField.tid, true);
    this.process = view.getUint32(RingField.process, true);
    this.head = Number(view.getBigUint64(RingField.head, true));
    this.sideHead = Number(view.getBigUint64(RingField.sideHead, true));
    const tail = view.getBigUint64(RingField.tail, true);
    // A recorder that was killed in the middle of its write leaves a pair that does not match; its chunk's positions
    // are in the file then.
    if (tail === ~view.getBigUint64(RingField.tailCheck, true) + (1n << 64n)) this.released = Number(tail);
    const side = view.getBigUint64(RingField.sideTail, true);
    if (side === ~view.getBigUint64(RingField.sideTailCheck, true) + (1n << 64n))
      this.sideReleased = Number(side);
  }

  counters(): {
    readonly lost: bigint;
    readonly lostPayload: bigint;
    readonly waits: bigint;
    readonly waited: bigint;
  } {
    const view = this.headerView;
    return {
      lost: view.getBigUint64(RingField.lost, true),
      lostPayload: view.getBigUint64(RingField.lostPayload, true),
      waits: view.getBigUint64(RingField.waits, true),
      waited: view.getBigUint64(RingField.waited, true),
    };
  }

  /** Share of the ring that is not given back yet: 1 is full. */
  fullness(): number {
    return Math.max(
      (this.head - this.released) / this.records,
      (this.sideHead - this.sideReleased) / this.sideBytes,
    );
  }

  /** Nobody's: the next owner writes who it is. Only for a ring whose thread is gone. */
  disown(): void {
    writeSync(this.fd, new Uint8Array(8), 0, 8, RingField.pid);
    this.pid = 0;
    this.tid = 0;
    this.dead = false;
    this.inflightTaken = false;
  }

  get drained(): boolean {
    return this.position >= this.head;
  }

  /** Ticks at which the first record that is not given back was entered; undefined while it is being written. */
  firstEntered(): bigint | undefined {
    const position = this.position;
    if (this.head <= position) return undefined;
    for (let reads = 0; reads < 2; reads++) {
      readSync(this.fd, this.newestBytes, 0, RECORD_BYTES, this.slotOffset(position));
      if ((this.newest[KIND_WORD] as number) >>> 16 !== this.lapOf(position)) return undefined;
    }
    return (BigInt(this.newest[1] as number) << 32n) | BigInt(this.newest[0] as number);
  }

  /** Completion of the newest record, or undefined while it is being written. */
  newestTime(): number | undefined {
    if (this.head <= this.position) return undefined;
    const slot = this.newest;
    const position = this.head - 1;
    readSync(this.fd, this.newestBytes, 0, RECORD_BYTES, this.slotOffset(position));
    return (slot[KIND_WORD] as number) >>> 16 === this.lapOf(position) ? this.timeOf(slot, 0) : undefined;
  }

  /**
   * Makes the record at `position` the present one. False when there is none yet: not before the next sample. What is
   * seen complete is read a second time, since a copy that races with the thread may hold the old bytes of a record
   * and its new commit word.
   */
  present(now: number): boolean {
    if (this.position < this.blockEnd) {
      this.stamp();
      return true;
    }
    for (;;) {
      const position = this.position;
      const wanted = Math.min(BLOCK_RECORDS, this.head - position, this.records - (position % this.records));
      if (wanted <= 0) return false;
      readSync(this.fd, this.block, 0, wanted * RECORD_BYTES, this.slotOffset(position));
      const whole = this.wholePrefix(position, wanted);
      if (whole > 0) {
        readSync(this.fd, this.block, 0, whole * RECORD_BYTES, this.slotOffset(position));
        this.blockEnd = position + whole;
        this.at = 0;
        this.stamp();
        return true;
      }
      if (!this.passStuckSlot(position, now)) return false;
    }
  }

  /** Passes over the present record, and over `count - 1` more that have no payload. */
  advance(count = 1): void {
    const last = this.at + (count - 1) * WORDS;
    this.lastEnteredLow = this.words[last] as number;
    this.lastEnteredHigh = this.words[last + 1] as number;
    this.position += count;
    this.at = last + WORDS;
    if (this.chainEnd > this.sideDone) this.sideDone = this.chainEnd;
    this.chainEnd = 0;
  }

  /**
   * The call that a dead thread was in, made the present record (with INTENT set); false when it was in none, or had
   * already recorded it.
   */
  presentInflight(): boolean {
    const view = this.headerView;
    const kind = this.header[RingField.inflight + RecordField.kind] as number;
    // An exec that succeeded and an exit never come back: they are recorded before.
    if (kind === RecordKind.NONE || kind === RecordKind.EXEC || kind === RecordKind.EXIT) return false;
    const low = view.getUint32(RingField.inflight, true);
    const high = view.getUint32(RingField.inflight + 4, true);
    if (low === this.lastEnteredLow && high === this.lastEnteredHigh) return false;
    if (this.lastEnteredLow === 0 && this.lastEnteredHigh === 0 && this.position > 0) {
      const last = new Uint32Array(WORDS);
      readSync(this.fd, new Uint8Array(last.buffer), 0, RECORD_BYTES, this.slotOffset(this.position - 1));
      if (low === last[0] && high === last[1]) return false;
    }
    this.block.set(this.header.subarray(RingField.inflight, RingField.inflight + RECORD_BYTES), 0);
    this.at = 0;
    const word = this.words[KIND_WORD] as number;
    const flags = ((word >>> 8) & 0xff & ~(RecordFlag.PAYLOAD | RecordFlag.LONG)) | RecordFlag.INTENT;
    this.words[KIND_WORD] = (word & 0xff) | (flags << 8);
    this.words[DURATION_WORD] = 0;
    this.stamp();
    return true;
  }

  /** Finds the payload segments of the present record; `segments`, `segmentCount` and `payloadBytes` say what is there. */
  loadPayload(): void {
    this.segmentCount = 0;
    this.payloadBytes = 0;
    this.chainEnd = 0;
    const low = this.words[this.at + RecordField.payload / 4] as number;
    // A signal handler's chain may lie behind that of a record which is given back already, within a quarter of the
    // side ring that the shim keeps for it (RING_SIDE_MARGIN).
    const floor = Math.max(0, this.sideReleased - this.sideBytes / 4) / 8;
    const start = (floor + ((low - floor) >>> 0)) * 8;
    if (start - this.sideReleased >= this.sideBytes) {
      this.damagedPayloads += 1;
      return;
    }
    let position = start;
    for (;;) {
      if (!this.ensure(position, SEGMENT_BYTES, start)) break;
      let from = position - this.windowStart;
      const length = this.windowView.getUint32(from + SegmentField.length, true);
      const padded = (length + 7) & ~7;
      if (length > PAYLOAD_MAX || !this.ensure(position, SEGMENT_BYTES + padded, start)) break;
      from = position - this.windowStart;
      const flags = this.window[from + SegmentField.flags] as number;
      let segment = this.segments[this.segmentCount];
      if (segment === undefined) {
        segment = { role: 0, flags: 0, index: 0, address: 0n, start: 0, length: 0 };
        this.segments.push(segment);
      }
      segment.role = this.window[from + SegmentField.role] as number;
      segment.flags = flags;
      segment.index = this.windowView.getUint16(from + SegmentField.index, true);
      segment.address = this.windowView.getBigUint64(from + SegmentField.address, true);
      // Relative to the chain: `ensure` may have moved the window, never the chain's start in it.
      segment.start = from + SEGMENT_BYTES;
      segment.length = length;
      this.segmentCount += 1;
      this.payloadBytes += length;
      position += SEGMENT_BYTES + padded;
      if ((flags & SegmentFlag.MORE) === 0) {
        this.chainEnd = position;
        return;
      }
    }
    this.segmentCount = 0;
    this.payloadBytes = 0;
    this.damagedPayloads += 1;
  }

  /** Takes the present record without its payload. */
  dropPayload(): void {
    this.words[this.at + KIND_WORD] =
      (this.words[this.at + KIND_WORD] as number) & ~(RecordFlag.PAYLOAD << 8);
    this.chainEnd = 0;
    this.damagedPayloads += 1;
  }

  /** Gives everything before these positions back to the thread. */
  release(position: number, side: number): void {
    if (side > this.sideReleased) {
      this.writePair(RingField.sideTail, side);
      this.sideReleased = side;
    }
    if (position > this.released) {
      this.writePair(RingField.tail, position);
      this.released = position;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private writePair(at: number, value: number): void {
    this.tailPair[0] = BigInt(value);
    this.tailPair[1] = ~BigInt(value);
    writeSync(this.fd, this.tailBytes, 0, 16, at);
  }

  private slotOffset(position: number): number {
    return RING_HEADER_BYTES + (position % this.records) * RECORD_BYTES;
  }

  private lapOf(position: number): number {
    return (Math.floor(position / this.records) + 1) & 0xffff;
  }

  private wholePrefix(position: number, wanted: number): number {
    const lap = this.lapOf(position);
    const words = this.words;
    for (let n = 0; n < wanted; n++) {
      const word = words[n * WORDS + KIND_WORD] as number;
      if (word >>> 16 !== lap) return n;
      if ((word & (RecordFlag.INTENT << 8)) !== 0 && position + n !== this.acceptIntentAt && !this.dead)
        return n;
    }
    return wanted;
  }

  /** The block begins with a slot that is not complete: true when it is passed over, or taken as it is. */
  private passStuckSlot(position: number, now: number): boolean {
    if (!this.dead) {
      if (this.stuckAt !== position) {
        this.stuckAt = position;
        this.stuckSince = now;
        return false;
      }
      // A thread that is still in the call has recorded nothing after it.
      if (this.head - position < 2 || now - this.stuckSince < STUCK_MS) return false;
      if ((this.words[KIND_WORD] as number) >>> 16 === this.lapOf(position)) {
        this.acceptIntentAt = position;
        return true;
      }
    }
    this.position += 1;
    this.holes += 1;
    return true;
  }

  private stamp(): void {
    this.time = this.timeOf(this.words, this.at);
    if (this.time > this.key) this.key = this.time;
  }

  private timeOf(words: Uint32Array, at: number): number {
    let duration = words[at + DURATION_WORD] as number;
    if (((words[at + KIND_WORD] as number) & (RecordFlag.LONG << 8)) !== 0) duration *= LONG_DURATION_UNIT;
    const entered =
      ((words[at + 1] as number) - this.baseHigh) * 4294967296 + ((words[at] as number) - this.baseLow);
    return Math.max(0, entered + duration);
  }

  /** Has `length` bytes at side position `position` in the window, and all of the chain before them. */
  private ensure(position: number, length: number, chain: number): boolean {
    const end = position + length;
    if (
      chain >= this.windowStart &&
      end <= this.windowStart + this.windowLength &&
      this.position < this.windowGoodFor
    ) {
      return true;
    }
    const offset = chain % this.sideBytes;
    // A chain lies in one piece.
    if (end - chain > this.sideBytes - offset) return false;
    const shift = chain - this.windowStart;
    const wanted = Math.min(this.sideBytes - offset, Math.max(WINDOW_BYTES, end - chain));
    if (wanted > this.window.length) {
      this.window = new Uint8Array(Math.max(wanted, Math.min(this.sideBytes, this.window.length * 2)));
      this.windowView = new DataView(this.window.buffer);
    }
    readSync(this.fd, this.window, 0, wanted, RING_HEADER_BYTES + this.records * RECORD_BYTES + offset);
    for (let n = 0; n < this.segmentCount; n++) (this.segments[n] as Segment).start -= shift;
    this.windowStart = chain;
    this.windowLength = wanted;
    // The payloads of all records that are copied out were complete before this read.
    this.windowGoodFor = Math.max(this.blockEnd, this.position + 1);
    return true;
  }
}
