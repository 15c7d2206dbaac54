// SPDX-License-Identifier: Apache-2.0
// Rings as the shim fills them, for tests.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  PROCESS_BYTES,
  PROCESS_MAGIC,
  ProcessField,
  processFile,
  RECORD_BYTES,
  RecordField,
  RecordFlag,
  RING_HEADER_BYTES,
  RING_HEADER_USED_BYTES,
  RING_MAGIC,
  RingField,
  RingState,
  ringFile,
  SEGMENT_BYTES,
  SegmentField,
  SegmentFlag,
} from '../../abi/wire/record.js';
import { Control, type SessionSettings } from './control.js';

export interface FakeSegment {
  readonly role: number;
  readonly index?: number;
  readonly flags?: number;
  readonly data: Uint8Array;
}

export interface FakeRecord {
  readonly kind: number;
  readonly entered: bigint;
  readonly duration?: number;
  readonly flags?: number;
  readonly site?: bigint;
  readonly errno?: number;
  readonly offset?: bigint;
  readonly value?: bigint;
  readonly result?: bigint;
  readonly object?: number;
  readonly op?: number;
  readonly fd?: number;
  readonly segments?: readonly FakeSegment[];
}

const DEFAULTS: SessionSettings = {
  recordsLog2: 8,
  sideLog2: 12,
  ringLimit: 16,
  whenFull: 'block',
  clockSource: 'monotonic',
  mmio: 'off',
  watches: [],
  openFiles: 0,
  dmaCompared: 0,
};

export class FakeSession {
  readonly directory = mkdtempSync(join(tmpdir(), 'vfiotape-fake-'));
  readonly control: Control;
  readonly settings: SessionSettings;

  constructor(settings: Partial<SessionSettings> = {}) {
    this.settings = { ...DEFAULTS, ...settings };
    this.control = Control.create(this.directory, this.settings);
  }

  /** A process in which the shim came up. */
  attach(pid: number, process: number, started: bigint): void {
    const bytes = new Uint8Array(PROCESS_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(ProcessField.magic, PROCESS_MAGIC, true);
    view.setUint32(ProcessField.pid, pid, true);
    view.setUint32(ProcessField.process, process, true);
    view.setUint32(ProcessField.attached, 1, true);
    view.setBigUint64(ProcessField.started, started, true);
    const fd = openSync(join(this.directory, processFile(pid)), 'w');
    writeSync(fd, bytes);
    closeSync(fd);
  }

  claim(index: number, pid: number, tid: number, process: number): FakeRing {
    const ring = new FakeRing(this.directory, index, this.settings, pid, tid, process);
    this.control.setRingState(index, RingState.OWNED);
    return ring;
  }

  leave(ring: FakeRing): void {
    this.control.setRingState(ring.index, RingState.LEFT);
  }

  remove(): void {
    this.control.close();
    rmSync(this.directory, { recursive: true });
  }
}

export class FakeRing {
  readonly index: number;
  readonly records: number;
  readonly sideBytes: number;
  private readonly fd: number;
  private head = 0n;
  private sideHead = 0n;

  constructor(
    directory: string,
    index: number,
    settings: SessionSettings,
    pid: number,
    tid: number,
    process: number,
  ) {
    this.index = index;
    this.records = 2 ** settings.recordsLog2;
    this.sideBytes = 2 ** settings.sideLog2;
    this.fd = openSync(join(directory, ringFile(index)), 'w+');
    const header = new Uint8Array(RING_HEADER_USED_BYTES);
    const view = new DataView(header.buffer);
    view.setBigUint64(RingField.magic, RING_MAGIC, true);
    view.setUint32(RingField.index, index, true);
    view.setUint32(RingField.recordsLog2, settings.recordsLog2, true);
    view.setUint32(RingField.sideLog2, settings.sideLog2, true);
    view.setUint32(RingField.pid, pid, true);
    view.setUint32(RingField.tid, tid, true);
    view.setUint32(RingField.process, process, true);
    writeSync(this.fd, header, 0, header.length, 0);
    writeSync(
      this.fd,
      new Uint8Array(1),
      0,
      1,
      RING_HEADER_BYTES + this.records * RECORD_BYTES + this.sideBytes - 1,
    );
  }

  /** Records that the collector gave back. */
  get tail(): number {
    return Number(this.read64(RingField.tail));
  }
  get sideTail(): number {
    return Number(this.read64(RingField.sideTail));
  }

  hasRoom(record: FakeRecord): boolean {
    const side = this.place(record).end;
    return (
      Number(this.head) < this.tail + this.records && Number(side) <= this.sideTail + (this.sideBytes * 3) / 4
    );
  }

  put(record: FakeRecord): void {
    const position = this.reserve();
    const payload = this.writeChain(record);
    this.fill(position, record, payload);
  }

  /** A slot that is reserved, and not filled yet. */
  reserve(): bigint {
    const position = this.head;
    this.head += 1n;
    this.write64(RingField.head, this.head);
    return position;
  }

  fill(position: bigint, record: FakeRecord, payload?: bigint): void {
    const lap = Number((position / BigInt(this.records) + 1n) & 0xffffn);
    writeSync(this.fd, this.encode(record, lap, payload), 0, RECORD_BYTES, this.slot(position));
  }

  /** The call that the thread is in. */
  inflight(record: FakeRecord): void {
    writeSync(this.fd, this.encode(record, 0, undefined), 0, RECORD_BYTES, RingField.inflight);
  }

  lose(events: bigint): void {
    this.write64(RingField.lost, events);
  }

  close(): void {
    closeSync(this.fd);
  }

  private encode(record: FakeRecord, lap: number, payload: bigint | undefined): Uint8Array {
    const bytes = new Uint8Array(RECORD_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(RecordField.entered, record.entered, true);
    view.setBigUint64(RecordField.siteErrno, (record.site ?? 0n) | (BigInt(record.errno ?? 0) << 48n), true);
    view.setBigUint64(RecordField.offset, record.offset ?? 0n, true);
    view.setBigUint64(RecordField.value, record.value ?? 0n, true);
    view.setBigInt64(RecordField.result, record.result ?? 0n, true);
    view.setUint32(RecordField.duration, record.duration ?? 0, true);
    view.setUint32(RecordField.object, record.object ?? 0, true);
    view.setUint32(RecordField.op, record.op ?? 0, true);
    view.setInt32(RecordField.fd, record.fd ?? -1, true);
    bytes[RecordField.kind] = record.kind;
    bytes[RecordField.flags] = (record.flags ?? 0) | (payload === undefined ? 0 : RecordFlag.PAYLOAD);
    view.setUint16(RecordField.lap, lap, true);
    view.setUint32(RecordField.payload, Number(((payload ?? 0n) / 8n) & 0xffff_ffffn), true);
    return bytes;
  }

  private place(record: FakeRecord): { start: bigint; end: bigint } {
    const size = (record.segments ?? []).reduce(
      (sum, { data }) => sum + SEGMENT_BYTES + ((data.length + 7) & ~7),
      0,
    );
    const bytes = BigInt(this.sideBytes);
    const wraps = (this.sideHead % bytes) + BigInt(size) > bytes;
    const start = wraps ? (this.sideHead / bytes + 1n) * bytes : this.sideHead;
    return { start, end: start + BigInt(size) };
  }

  private writeChain(record: FakeRecord): bigint | undefined {
    const segments = record.segments ?? [];
    if (segments.length === 0) return undefined;
    const { start, end } = this.place(record);
    let at = RING_HEADER_BYTES + this.records * RECORD_BYTES + Number(start % BigInt(this.sideBytes));
    segments.forEach((segment, n) => {
      const header = new Uint8Array(SEGMENT_BYTES);
      const view = new DataView(header.buffer);
      view.setUint32(SegmentField.length, segment.data.length, true);
      header[SegmentField.role] = segment.role;
      header[SegmentField.flags] = (segment.flags ?? 0) | (n + 1 < segments.length ? SegmentFlag.MORE : 0);
      view.setUint16(SegmentField.index, segment.index ?? 0, true);
      writeSync(this.fd, header, 0, SEGMENT_BYTES, at);
      writeSync(this.fd, segment.data, 0, segment.data.length, at + SEGMENT_BYTES);
      at += SEGMENT_BYTES + ((segment.data.length + 7) & ~7);
    });
    this.sideHead = end;
    this.write64(RingField.sideHead, this.sideHead);
    return start;
  }

  private slot(position: bigint): number {
    return RING_HEADER_BYTES + Number(position % BigInt(this.records)) * RECORD_BYTES;
  }

  private read64(at: number): bigint {
    const bytes = new Uint8Array(8);
    readSync(this.fd, bytes, 0, 8, at);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  private write64(at: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    writeSync(this.fd, bytes, 0, 8, at);
  }
}
