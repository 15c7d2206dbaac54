// SPDX-License-Identifier: Apache-2.0
/**
 * What the simulated devices do, into a ring of the recording (abi/wire/record.h), in the same order and on the same
 * clock as the driver's events: CLOCK_MONOTONIC, which is that of such a recording. Written by one thread.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  CONTROL_BYTES,
  ControlField,
  controlFile,
  Dma,
  DmaHow,
  PAYLOAD_MAX,
  PayloadRole,
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
  SessionState,
  WhenFull,
} from '../../abi/wire/record.js';
import { EFAULT } from '../kernel/errno.js';
import type { BusWatch, InterruptKind } from '../kernel/iommu/bus-watch.js';
import { parseBdf } from '../kernel/topology.js';

const INTERRUPT_INDEX: Readonly<Record<InterruptKind, number>> = { intx: 0, msi: 1, msix: 2 };
const WAIT_MS = 1;
const NOTHING = new Uint8Array();

interface Entry {
  readonly kind: number;
  readonly entered: bigint;
  readonly duration: bigint;
  readonly object: number;
  readonly op: number;
  readonly offset: bigint;
  readonly result: bigint;
  readonly errno: number;
  readonly value: bigint;
  readonly data: Uint8Array;
}

export class DeviceRing implements BusWatch {
  readonly #fd: number;
  readonly #control: number;
  readonly #records: number;
  readonly #sideBytes: number;
  readonly #drop: boolean;
  /** Bytes of one event: a chain must fit into the side ring several times. */
  readonly #most: number;
  readonly #addresses = new Map<string, number>();
  readonly #pair = new BigUint64Array(2);
  readonly #pairBytes = new Uint8Array(this.#pair.buffer);
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  #head = 0;
  #sideHead = 0;
  /** As far as the collector had given back when it was last asked. */
  #tail = 0;
  #sideTail = 0;
  #lost = 0;
  #waits = 0;
  #waited = 0n;

  /** The ring must have been set aside for this before the driver started. */
  constructor(directory: string, index: number) {
    this.#control = openSync(join(directory, controlFile), 'r');
    const control = new Uint8Array(CONTROL_BYTES);
    readSync(this.#control, control, 0, CONTROL_BYTES, 0);
    const view = new DataView(control.buffer);
    const recordsLog2 = view.getUint32(ControlField.recordsLog2, true);
    const sideLog2 = view.getUint32(ControlField.sideLog2, true);
    this.#drop = view.getUint32(ControlField.whenFull, true) === WhenFull.DROP;
    this.#records = 2 ** recordsLog2;
    this.#sideBytes = 2 ** sideLog2;
    this.#most = Math.min(PAYLOAD_MAX, this.#sideBytes / 4 - SEGMENT_BYTES);
    this.#fd = openSync(join(directory, ringFile(index)), 'wx+', 0o600);
    // Its last byte first: a reader takes a ring for made when its header is there.
    const end = RING_HEADER_BYTES + this.#records * RECORD_BYTES + this.#sideBytes;
    writeSync(this.#fd, new Uint8Array(1), 0, 1, end - 1);
    const bytes = new Uint8Array(RING_HEADER_USED_BYTES);
    const header = new DataView(bytes.buffer);
    header.setBigUint64(RingField.magic, RING_MAGIC, true);
    header.setUint32(RingField.index, index, true);
    header.setUint32(RingField.recordsLog2, recordsLog2, true);
    header.setUint32(RingField.sideLog2, sideLog2, true);
    header.setUint32(RingField.pid, process.pid, true);
    header.setUint32(RingField.tid, process.pid, true);
    for (const at of [RingField.tailCheck, RingField.sideTailCheck]) header.setBigInt64(at, -1n, true);
    writeSync(this.#fd, bytes, 0, bytes.length, 0);
  }

  now(): bigint {
    return process.hrtime.bigint();
  }

  dma(bdf: string, iova: bigint, bytes: Uint8Array, done: number, write: boolean, since: bigint): void {
    const object = this.#address(bdf);
    const op = (write ? Dma.WRITE : Dma.READ) | (DmaHow.SEEN << 8);
    // A write is there to be read before this; what was read may have changed since.
    const duration = write ? 0n : this.now() - since;
    const entry = { kind: RecordKind.DMA, entered: since, duration, object, op };
    for (let at = 0; at < done; at += this.#most) {
      const piece = bytes.subarray(at, Math.min(at + this.#most, done));
      this.#put({
        ...entry,
        offset: iova + BigInt(at),
        result: BigInt(piece.length),
        errno: 0,
        value: firstWord(piece),
        data: piece.length > 8 ? piece : NOTHING,
      });
    }
    if (done < bytes.length)
      this.#put({
        ...entry,
        offset: BigInt.asUintN(64, iova + BigInt(done)),
        result: -1n,
        errno: EFAULT,
        value: 0n,
        data: NOTHING,
      });
  }

  interrupt(bdf: string, kind: InterruptKind, vector: number, level: boolean): void {
    this.#put({
      kind: RecordKind.INTERRUPT,
      entered: this.now(),
      duration: 0n,
      object: this.#address(bdf),
      op: INTERRUPT_INDEX[kind],
      offset: BigInt(vector),
      result: 0n,
      errno: 0,
      value: level ? 1n : 0n,
      data: NOTHING,
    });
  }

  close(): void {
    closeSync(this.#fd);
    closeSync(this.#control);
  }

  #address(bdf: string): number {
    let address = this.#addresses.get(bdf);
    if (address === undefined) {
      const { segment, bus, device, function: fn } = parseBdf(bdf);
      address = ((segment << 16) | (bus << 8) | (device << 3) | fn) >>> 0;
      this.#addresses.set(bdf, address);
    }
    return address;
  }

  #put(entry: Entry): void {
    const chain = entry.data.length === 0 ? 0 : SEGMENT_BYTES + ((entry.data.length + 7) & ~7);
    // A chain never wraps: it begins at the start of the side ring instead.
    const left = this.#sideBytes - (this.#sideHead % this.#sideBytes);
    const start = this.#sideHead + (chain > left ? left : 0);
    const sideEnd = chain === 0 ? this.#sideHead : start + chain;
    if (!this.#room(sideEnd)) {
      this.#lost += 1;
      this.#write64(RingField.lost, BigInt(this.#lost));
      return;
    }
    if (chain > 0) {
      this.#writeSegment(start % this.#sideBytes, entry);
      this.#sideHead = sideEnd;
      this.#write64(RingField.sideHead, BigInt(sideEnd));
    }
    const position = this.#head;
    writeSync(
      this.#fd,
      this.#encode(entry, position, start),
      0,
      RECORD_BYTES,
      RING_HEADER_BYTES + (position % this.#records) * RECORD_BYTES,
    );
    this.#head = position + 1;
    this.#write64(RingField.head, BigInt(this.#head));
  }

  #encode(entry: Entry, position: number, start: number): Uint8Array {
    const bytes = new Uint8Array(RECORD_BYTES);
    const view = new DataView(bytes.buffer);
    const long = entry.duration > 0xffff_ffffn;
    view.setBigUint64(RecordField.entered, entry.entered, true);
    view.setBigUint64(RecordField.siteErrno, BigInt(entry.errno) << 48n, true);
    view.setBigUint64(RecordField.offset, entry.offset, true);
    view.setBigUint64(RecordField.value, entry.value, true);
    view.setBigInt64(RecordField.result, entry.result, true);
    view.setUint32(RecordField.duration, Number(long ? entry.duration >> 16n : entry.duration), true);
    view.setUint32(RecordField.object, entry.object, true);
    view.setUint32(RecordField.op, entry.op, true);
    view.setInt32(RecordField.fd, -1, true);
    bytes[RecordField.kind] = entry.kind;
    bytes[RecordField.flags] =
      (entry.data.length > 0 ? RecordFlag.PAYLOAD : 0) | (long ? RecordFlag.LONG : 0);
    view.setUint16(RecordField.lap, (Math.floor(position / this.#records) + 1) & 0xffff, true);
    view.setUint32(RecordField.payload, (start / 8) % 2 ** 32, true);
    return bytes;
  }

  #writeSegment(at: number, { offset, data }: Entry): void {
    const bytes = new Uint8Array(SEGMENT_BYTES + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(SegmentField.length, data.length, true);
    bytes[SegmentField.role] = PayloadRole.DATA;
    view.setBigUint64(SegmentField.address, offset, true);
    bytes.set(data, SEGMENT_BYTES);
    writeSync(this.#fd, bytes, 0, bytes.length, RING_HEADER_BYTES + this.#records * RECORD_BYTES + at);
  }

  /** Waits for the collector when the ring is full. False: the event is lost. */
  #room(sideEnd: number): boolean {
    const fits = (): boolean =>
      this.#head - this.#tail < this.#records && sideEnd - this.#sideTail <= (this.#sideBytes * 3) / 4;
    if (fits()) return true;
    this.#tail = this.#given(RingField.tail) ?? this.#tail;
    this.#sideTail = this.#given(RingField.sideTail) ?? this.#sideTail;
    if (fits()) return true;
    if (this.#drop) return false;
    const began = this.now();
    while (!fits()) {
      if (this.#stopped()) return false;
      Atomics.wait(this.#sleep, 0, 0, WAIT_MS);
      this.#tail = this.#given(RingField.tail) ?? this.#tail;
      this.#sideTail = this.#given(RingField.sideTail) ?? this.#sideTail;
    }
    this.#waits += 1;
    this.#waited += this.now() - began;
    this.#write64(RingField.waits, BigInt(this.#waits));
    this.#write64(RingField.waited, this.#waited);
    return true;
  }

  /** A word of the collector's; undefined while it is being written. */
  #given(at: number): number | undefined {
    readSync(this.#fd, this.#pairBytes, 0, 16, at);
    const [word = 0n, check = 0n] = this.#pair;
    return word === BigInt.asUintN(64, ~check) ? Number(word) : undefined;
  }

  /** Nobody empties the rings any more. */
  #stopped(): boolean {
    const state = new Uint32Array(1);
    readSync(this.#control, new Uint8Array(state.buffer), 0, 4, ControlField.state);
    return state[0] === SessionState.STOPPED;
  }

  #write64(at: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    writeSync(this.#fd, bytes, 0, 8, at);
  }
}

function firstWord(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = Math.min(8, bytes.length) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}
