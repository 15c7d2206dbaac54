// SPDX-License-Identifier: Apache-2.0
import {
  ObjectKind,
  PayloadRole,
  RECORD_BYTES,
  RecordFlag,
  RecordKind,
  SegmentFlag,
  SITE_MASK,
} from '../../abi/wire/record.js';
import { type EventBatch, PAYLOAD_CUT, PAYLOAD_FAULT, PAYLOAD_REDACTED } from '../../traces/columns.js';
import type { RecordingClock } from './clock.js';
import { type Definer, siteSlot } from './definer.js';
import { bdfOfAddress, bdfOfName, bdfOfNode, describeDevice } from './devices.js';
import { parseMaps, readBuildId } from './mappings.js';
import type { RingReader } from './ring.js';

/** Flags of a record that an event keeps. */
const KEPT_FLAGS = RecordFlag.INTENT | RecordFlag.UNKNOWN | RecordFlag.RAW;
const SITE_HIGH = Number(SITE_MASK >> 32n);

/** What the collector must know of the records that pass. */
export interface ProcessEvents {
  attached(process: number, pid: number): void;
  exited(process: number, status: number): void;
  killed(process: number, signal: number): void;
}

/** Kinds that nothing is learnt from: what a busy driver does all the time. */
const PLAIN = new Uint8Array(256);
for (const kind of [
  RecordKind.READ,
  RecordKind.WRITE,
  RecordKind.LOAD,
  RecordKind.STORE,
  RecordKind.UPDATE,
  RecordKind.WAKE,
]) {
  PLAIN[kind] = 1;
}
/** Kinds that say nothing of what the driver did with VFIO. */
const ABOUT_PROCESSES: ReadonlySet<number> = new Set([
  RecordKind.THREAD,
  RecordKind.PROCESS,
  RecordKind.CLOCK,
  RecordKind.SIGNAL,
  RecordKind.EXIT,
  RecordKind.EXEC,
  RecordKind.FORK,
  RecordKind.LOST,
]);
/** A record that `append` must see: it has payload, or a duration of more than 32 bits. */
const NOT_PLAIN = (RecordFlag.PAYLOAD | RecordFlag.LONG) << 8;
const WORDS = RECORD_BYTES / 4;

const decoder = new TextDecoder();

/** Turns the present record of a ring into the next row of a batch, and into the definitions that the row needs. */
export class Translator {
  private readonly definer: Definer;
  private readonly sysfs: string;
  private readonly clock: RecordingClock;
  private readonly processes: ProcessEvents;
  /** By ring: Thread.id of whoever fills it, and whose number that is. */
  private readonly threads: { id: number; process: number; tid: number }[] = [];
  /** Something that concerns VFIO was recorded. */
  sawDriver = false;
  private readonly buildIds = new Map<string, Uint8Array>();

  constructor(definer: Definer, clock: RecordingClock, processes: ProcessEvents, sysfs: string) {
    this.sysfs = sysfs;
    this.definer = definer;
    this.clock = clock;
    this.processes = processes;
  }

  /**
   * Takes the present record and those after it as long as they are plain, copied out, at sites that are known, and
   * completed before `until`: the same as `append` and `advance` for each, several times as fast. Answers how many, and
   * leaves ring.key at the last one's.
   */
  appendPlain(ring: RingReader, batch: EventBatch, until: number, end: number): number {
    const words = ring.words;
    // Before anything is looked up: a THREAD record says whose ring it is.
    if (PLAIN[(words[ring.at + 14] as number) & 0xff] === 0) return 0;
    const { kind, flags, thread, object, fd, op, errno, site } = batch;
    const { timeWords, durationWords, offsetWords, valueWords, resultWords } = batch;
    const { low, high, process: processes, id } = this.definer.siteCache;
    const { baseLow, baseHigh, process } = ring;
    const threadId = this.threadOf(ring);
    const most = Math.min(ring.blockEnd, end) - ring.position;
    const first = batch.length;
    const rows = Math.min(most, batch.capacity - first);
    let key = ring.key;
    let at = ring.at;
    let taken = 0;
    for (; taken < rows; taken++, at += WORDS) {
      const kindWord = words[at + 14] as number;
      if (PLAIN[kindWord & 0xff] === 0 || (kindWord & NOT_PLAIN) !== 0) break;
      const duration = words[at + 10] as number;
      const since =
        ((words[at + 1] as number) - baseHigh) * 4294967296 + ((words[at] as number) - baseLow) + duration;
      const time = Math.max(since, 0);
      if (time > key) {
        if (time > until) break;
        key = time;
      }
      const siteLow = words[at + 2] as number;
      const siteHigh = words[at + 3] as number;
      let siteId = 0;
      if (siteLow !== 0) {
        const slot = siteSlot(process, siteLow);
        if (low[slot] !== siteLow || high[slot] !== (siteHigh & SITE_HIGH) || processes[slot] !== process)
          break;
        siteId = id[slot] as number;
      } else if ((siteHigh & SITE_HIGH) !== 0) {
        break;
      }
      const row = first + taken;
      const twice = row * 2;
      kind[row] = kindWord;
      flags[row] = (kindWord >>> 8) & KEPT_FLAGS;
      thread[row] = threadId;
      object[row] = words[at + 11] as number;
      fd[row] = words[at + 13] as number;
      op[row] = words[at + 12] as number;
      timeWords[twice] = time;
      timeWords[twice + 1] = time / 4294967296;
      durationWords[twice] = duration;
      durationWords[twice + 1] = 0;
      offsetWords[twice] = words[at + 4] as number;
      offsetWords[twice + 1] = words[at + 5] as number;
      valueWords[twice] = words[at + 6] as number;
      valueWords[twice + 1] = words[at + 7] as number;
      resultWords[twice] = words[at + 8] as number;
      resultWords[twice + 1] = words[at + 9] as number;
      errno[row] = siteHigh >>> 16;
      site[row] = siteId;
    }
    if (taken > 0) {
      this.sawDriver = true;
      batch.length = first + taken;
      ring.key = key;
      ring.advance(taken);
    }
    return taken;
  }

  /** False when the batch has no room for it; the record is still to be taken then. */
  append(ring: RingReader, batch: EventBatch): boolean {
    const row = batch.length;
    if (row === batch.capacity) return false;
    const words = ring.words;
    const at = ring.at;
    const kindWord = words[at + 14] as number;
    const kind = kindWord & 0xff;
    const flags = (kindWord >>> 8) & 0xff;
    const hasPayload = (flags & RecordFlag.PAYLOAD) !== 0;
    if (hasPayload) {
      ring.loadPayload();
      if (!batch.payloads.hasRoom(ring.segmentCount, ring.payloadBytes)) return false;
    } else {
      ring.segmentCount = 0;
    }

    if (kind === RecordKind.THREAD) this.beginThread(ring);
    const siteHigh = words[at + 3] as number;
    const time = ring.time;
    const twice = row * 2;
    batch.kind[row] = kind;
    batch.flags[row] = flags & KEPT_FLAGS;
    batch.thread[row] = ring.process === 0 ? 0 : this.threadOf(ring);
    batch.object[row] = words[at + 11] as number;
    batch.fd[row] = words[at + 13] as number;
    batch.op[row] = words[at + 12] as number;
    batch.timeWords[twice] = time;
    batch.timeWords[twice + 1] = time / 4294967296;
    const duration = words[at + 10] as number;
    if ((flags & RecordFlag.LONG) === 0) {
      batch.durationWords[twice] = duration;
      batch.durationWords[twice + 1] = 0;
    } else {
      batch.durationWords[twice] = duration << 16;
      batch.durationWords[twice + 1] = duration >>> 16;
    }
    batch.offsetWords[twice] = words[at + 4] as number;
    batch.offsetWords[twice + 1] = words[at + 5] as number;
    batch.valueWords[twice] = words[at + 6] as number;
    batch.valueWords[twice + 1] = words[at + 7] as number;
    batch.resultWords[twice] = words[at + 8] as number;
    batch.resultWords[twice + 1] = words[at + 9] as number;
    batch.errno[row] = siteHigh >>> 16;
    batch.site[row] = this.definer.site(ring.process, words[at + 2] as number, siteHigh & SITE_HIGH);
    if (hasPayload) this.copyPayload(ring, batch, row);
    if ((kind === RecordKind.DMA || kind === RecordKind.INTERRUPT) && ring.process === 0)
      this.byDevice(batch, row);
    batch.length = row + 1;
    if (!ABOUT_PROCESSES.has(kind)) this.sawDriver = true;
    this.learn(kind, ring, batch, row);
    return true;
  }

  /** What the simulated machine saw of a device comes with the function's address in the place of an object. */
  private byDevice(batch: EventBatch, row: number): void {
    batch.object[row] = this.definer.openDevice(bdfOfAddress(batch.object[row] as number));
  }

  private threadOf(ring: RingReader): number {
    const known = this.threads[ring.index];
    if (known !== undefined && known.tid === ring.tid && known.process === ring.process) return known.id;
    const id = this.definer.thread(ring.process, ring.tid);
    this.threads[ring.index] = { id, process: ring.process, tid: ring.tid };
    return id;
  }

  private beginThread(ring: RingReader): void {
    const id = this.definer.newThread(ring.process, ring.tid, this.textIn(ring, PayloadRole.NAME) ?? '');
    this.threads[ring.index] = { id, process: ring.process, tid: ring.tid };
  }

  private copyPayload(ring: RingReader, batch: EventBatch, row: number): void {
    const payloads = batch.payloads;
    for (let n = 0; n < ring.segmentCount; n++) {
      const segment = ring.segments[n];
      if (segment === undefined) return;
      const flags =
        ((segment.flags & SegmentFlag.CUT) !== 0 ? PAYLOAD_CUT : 0) |
        ((segment.flags & SegmentFlag.FAULT) !== 0 ? PAYLOAD_FAULT : 0) |
        ((segment.flags & SegmentFlag.REDACTED) !== 0 ? PAYLOAD_REDACTED : 0);
      const start = payloads.add(row, segment.role, segment.index, flags, segment.address, segment.length);
      payloads.bytes.set(ring.window.subarray(segment.start, segment.start + segment.length), start);
    }
  }

  /** What definitions, clock and processes need to know of this record. */
  private learn(kind: number, ring: RingReader, batch: EventBatch, row: number): void {
    switch (kind) {
      case RecordKind.READ:
      case RecordKind.WRITE:
      case RecordKind.LOAD:
      case RecordKind.STORE:
      case RecordKind.UPDATE:
        return;
      case RecordKind.IOCTL:
        if (ring.segmentCount > 0) this.learnIoctl(ring, batch, row);
        return;
      case RecordKind.CLOCK:
        this.clock.add(this.entered(ring), batch.offset[row] as bigint, batch.value[row] as bigint);
        return;
      case RecordKind.PROCESS:
        this.learnProcess(ring, batch, row);
        return;
      case RecordKind.OPEN:
      case RecordKind.RECV_FD:
      case RecordKind.UNSEEN:
        this.learnObject(kind, ring, batch, row);
        return;
      case RecordKind.EVENTFD:
        if ((batch.object[row] as number) !== 0) {
          this.object(batch.object[row] as number, ObjectKind.EVENTFD, '', 0, ring.process, true);
        }
        return;
      case RecordKind.EXIT:
        this.mappings(ring.process, this.textIn(ring, PayloadRole.MAPS) ?? '');
        this.processes.exited(ring.process, batch.op[row] as number);
        return;
      case RecordKind.SIGNAL:
        this.processes.killed(ring.process, batch.op[row] as number);
        return;
      case RecordKind.SITE:
        this.learnMmioSite(ring, batch, row);
        return;
      default:
        return;
    }
  }

  private learnProcess(ring: RingReader, batch: EventBatch, row: number): void {
    const argv = (this.textIn(ring, PayloadRole.ARGV) ?? '').split('\0');
    if (argv.at(-1) === '') argv.pop();
    const pid = Number(batch.offset[row]);
    this.definer.process({
      id: ring.process,
      pid,
      parentPid: Number(batch.value[row]),
      exe: this.textIn(ring, PayloadRole.EXE) ?? '',
      argv,
    });
    this.processes.attached(ring.process, pid);
    this.mappings(ring.process, this.textIn(ring, PayloadRole.MAPS) ?? '');
  }

  private learnObject(kind: number, ring: RingReader, batch: EventBatch, row: number): void {
    const id = batch.object[row] as number;
    const path = this.textIn(ring, PayloadRole.PATH) ?? '';
    this.object(
      id,
      this.kindIn(ring)?.kind ?? ObjectKind.NONE,
      path,
      0,
      ring.process,
      kind !== RecordKind.UNSEEN,
    );
  }

  /** An ioctl that brought a new object: its KIND names kind and id, and the fd's object is where it came out of. */
  private learnIoctl(ring: RingReader, batch: EventBatch, row: number): void {
    const made = this.kindIn(ring);
    if (made === undefined || made.kind === ObjectKind.NONE || made.object === 0) return;
    const known = this.definer.objects.get(made.object);
    if (known !== undefined && known.kind === made.kind) return;
    const parent = batch.object[row] as number;
    const name = made.kind === ObjectKind.DEVICE ? (this.textIn(ring, PayloadRole.IN) ?? '') : '';
    this.object(made.object, made.kind, name, parent, ring.process, true);
  }

  private learnMmioSite(ring: RingReader, batch: EventBatch, row: number): void {
    const address = batch.offset[row] as bigint;
    const site = this.definer.site(
      ring.process,
      Number(address & 0xffff_ffffn),
      Number(address >> 32n) & SITE_HIGH,
    );
    const instruction = this.bytesIn(ring, PayloadRole.IN) ?? new Uint8Array(0);
    const tier = Number(batch.value[row]);
    this.definer.mmioSite({
      site,
      instruction,
      tier,
      reason: batch.op[row] as number,
      process: ring.process,
    });
  }

  private object(
    id: number,
    kind: number,
    path: string,
    parent: number,
    process: number,
    seenBorn: boolean,
  ): void {
    const bdf = kind === ObjectKind.DEVICE ? bdfOfName(path) : bdfOfNode(path, this.sysfs);
    const device =
      bdf === undefined ? 0 : this.definer.device(bdf, (number) => describeDevice(number, bdf, this.sysfs));
    this.definer.object({ id, kind, path, parent, process, seenBorn, device });
  }

  /** Executable mappings, as /proc/PID/maps has them. */
  mappings(process: number, maps: string): void {
    const pid = this.definer.processes.get(process)?.pid;
    this.definer.mappings(process, parseMaps(maps), (path) => this.buildId(pid, path));
  }

  private buildId(pid: number | undefined, path: string): Uint8Array {
    let found = this.buildIds.get(path);
    if (found === undefined) {
      // In the driver's own mount namespace, while there is a driver.
      found = pid === undefined ? new Uint8Array(0) : readBuildId(`/proc/${pid}/root${path}`);
      if (found.length === 0) found = readBuildId(path);
      this.buildIds.set(path, found);
    }
    return found;
  }

  private entered(ring: RingReader): bigint {
    return (BigInt(ring.words[ring.at + 1] as number) << 32n) | BigInt(ring.words[ring.at] as number);
  }

  private bytesIn(ring: RingReader, role: number): Uint8Array | undefined {
    for (let n = 0; n < ring.segmentCount; n++) {
      const segment = ring.segments[n];
      if (segment?.role === role) return ring.window.slice(segment.start, segment.start + segment.length);
    }
    return undefined;
  }

  private textIn(ring: RingReader, role: number): string | undefined {
    const bytes = this.bytesIn(ring, role);
    if (bytes === undefined) return undefined;
    if (role === PayloadRole.ARGV || role === PayloadRole.MAPS) return decoder.decode(bytes);
    const end = bytes.indexOf(0);
    return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  private kindIn(ring: RingReader): { kind: number; object: number } | undefined {
    const bytes = this.bytesIn(ring, PayloadRole.KIND);
    if (bytes === undefined || bytes.length < 4) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { kind: view.getUint32(0, true), object: bytes.length >= 8 ? view.getUint32(4, true) : 0 };
  }
}
