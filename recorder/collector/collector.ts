// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { RingState } from '../../abi/wire/record.js';
import type { RecordingClock } from './clock.js';
import type { Control } from './control.js';
import type { Definer } from './definer.js';
import { MergeHeap, Watermark } from './merge.js';
import { type ProcessWatch, readProcessFile } from './processes.js';
import { RingReader } from './ring.js';
import type { TraceSink } from './trace-sink.js';
import { Translator } from './translator.js';

/** How long an event may be on its way into its ring while a later one of another thread waits for it. */
const HOLD_MS = 20;
/** Events that are taken before the event loop gets its turn. */
const SLICE = 32768;
const IDLE_LEAST_MS = 1;
const IDLE_MOST_MS = 20;
/** Between two looks at rings that are being filled. */
const REST_MS = 4;
/** One look found so many events: the next one follows at once. */
const HURRY = 16384;
const HEARTBEAT_MS = 50;
/** A slow driver's events are in the file after this at the latest. */
const BATCH_AGE_MS = 5000;
/** A ring that its thread left is wanted by others: its events go into the file after this at the latest. */
const LEFT_AGE_MS = 1000;
const OWNERS_EVERY_MS = 200;
/** After this much of a ring is read, the batch goes: the thread needs the room. */
const RING_SHARE = 4;
const MAPS_EVERY_MS = 50;

export interface CollectorParts {
  readonly directory: string;
  readonly control: Control;
  readonly clock: RecordingClock;
  readonly definer: Definer;
  readonly processes: ProcessWatch;
  /** Where the driver's devices are described, when that is not /sys: those of a simulated machine. */
  readonly sysfs?: string;
  /** Called once, when the first record is there and the clock has its base. */
  readonly openSink: () => Promise<TraceSink>;
  /** Where a file that is continued ends, by ring. */
  readonly resumeAt?: ReadonlyMap<number, { readonly records: number; readonly side: number }>;
}

interface Share {
  position: number;
  side: number;
}

/** Empties the rings of a session into a trace. */
export class Collector {
  private readonly parts: CollectorParts;
  private readonly translator: Translator;
  private readonly rings: RingReader[] = [];
  private readonly byIndex: (RingReader | undefined)[] = [];
  /** By ring: where the batch goes off. */
  private readonly shares: Share[] = [];
  private readonly heap = new MergeHeap();
  private readonly watermark = new Watermark(HOLD_MS);
  private sink: TraceSink | undefined;
  private lastKey = -1;
  private lastRing: RingReader | undefined;
  private ownersAt = 0;
  private readonly mapsRead = new Map<number, number>();
  private waiting = false;
  private stopping: string | undefined;
  private wake: AbortController | undefined;
  /** Events that came after a later one of another thread was written. */
  lateEvents = 0;
  /** Calls and accesses that a thread died in. */
  unfinished = 0;

  constructor(parts: CollectorParts) {
    this.parts = parts;
    this.translator = new Translator(parts.definer, parts.clock, parts.processes, parts.sysfs ?? '/sys');
    parts.definer.onUnknownSite = (process) => this.readMaps(process);
  }

  get traceSink(): TraceSink | undefined {
    return this.sink;
  }

  /** Whether the driver did anything with VFIO. */
  get sawDriver(): boolean {
    return this.translator.sawDriver;
  }

  get allRings(): readonly RingReader[] {
    return this.rings;
  }

  /** Ends `run` after a last look at all rings. The first reason counts. */
  stop(reason: string): void {
    this.stopping ??= reason;
    this.wake?.abort();
  }

  /** Collects until `stop` is called, or the file may not grow any more. Answers what ended it. */
  async run(): Promise<string> {
    const beat = setInterval(() => this.parts.control.heartbeat(), HEARTBEAT_MS);
    try {
      let idle = IDLE_LEAST_MS;
      while (this.stopping === undefined) {
        const taken = await this.round(false);
        const busy = taken > 0 || this.waiting;
        if (this.sink?.limitReached === true) this.stop('max-size');
        idle = busy ? IDLE_LEAST_MS : Math.min(idle * 2, IDLE_MOST_MS);
        // A look costs the same whatever it finds: rings that have room yet are left to fill a little.
        if (taken >= HURRY) await nextTurn();
        else await this.pause(busy ? REST_MS : idle);
      }
      await this.drain();
      return this.stopping ?? '';
    } finally {
      clearInterval(beat);
    }
  }

  /** Everything that is whole by now, and what dead threads left behind. */
  async drain(): Promise<void> {
    this.ownersAt = 0;
    for (let rounds = 0; rounds < 3 || this.rings.some((ring) => !ring.drained && ring.dead); rounds++) {
      const busy = await this.round(true);
      if (this.sink?.limitReached === true) break;
      if (!busy) await sleep(2);
      this.ownersAt = 0;
    }
    const sink = this.sink;
    if (sink === undefined) return;
    await sink.flush(this.rings, Date.now());
    await sink.settle();
    this.freeRings();
  }

  close(): void {
    for (const ring of this.rings) ring.close();
  }

  private async pause(ms: number): Promise<void> {
    this.wake = new AbortController();
    try {
      await sleep(ms, undefined, { signal: this.wake.signal });
    } catch {
      // Woken by stop().
    }
    this.wake = undefined;
  }

  /** One look at all rings. Answers how many events were taken; `waiting`: there were more. */
  private async round(last: boolean): Promise<number> {
    const { control } = this.parts;
    const now = Date.now();
    control.heartbeat();
    control.refresh();
    this.findRings();
    if (this.rings.length === 0) return 0;

    if (now - this.ownersAt >= OWNERS_EVERY_MS) {
      this.ownersAt = now;
      this.checkOwners();
    }
    let pressed = last;
    let newest: number | undefined;
    for (const ring of this.rings) {
      if (control.ringState(ring.index) === RingState.FREE) continue;
      ring.sample();
      if (ring.drained) continue;
      const time = ring.newestTime();
      if (time !== undefined && (newest === undefined || time > newest)) newest = time;
      if (ring.fullness() > 0.5) pressed = true;
    }
    const until = this.watermark.look(now, newest);
    const taken = await this.merge(pressed ? Number.POSITIVE_INFINITY : until, now);
    await this.takeUnfinished();
    await this.flushWhenDue(now);
    this.freeRings();
    this.waiting = newest !== undefined;
    return taken;
  }

  private findRings(): void {
    const { control, directory } = this.parts;
    const limit = control.ringLimit;
    const found: RingReader[] = [];
    for (let index = 0; index < limit; index++) {
      if (this.byIndex[index] !== undefined || control.ringState(index) === RingState.FREE) continue;
      const ring = RingReader.open(directory, index);
      // The shim writes who owns it before its first record.
      if (ring === undefined || ring.head === 0) {
        ring?.close();
        continue;
      }
      found.push(ring);
    }
    if (found.length === 0) return;
    this.parts.clock.setBase(this.earliest(found));
    for (const ring of found) {
      ring.setBase(this.parts.clock.baseTicks ?? 0n);
      const resume = this.parts.resumeAt?.get(ring.index);
      if (resume !== undefined) ring.skipTo(resume.records, resume.side);
      this.byIndex[ring.index] = ring;
      this.shares[ring.index] = { position: 0, side: 0 };
      this.rings.push(ring);
      this.startShare(ring);
    }
  }

  /** No event of the recording was entered before: its processes attached later than this. */
  private earliest(rings: readonly RingReader[]): bigint {
    let earliest: bigint | undefined;
    for (const ring of rings) {
      const started = readProcessFile(this.parts.directory, ring.pid)?.started ?? 0n;
      const first = started !== 0n ? started : ring.firstEntered();
      if (first !== undefined && (earliest === undefined || first < earliest)) earliest = first;
    }
    return earliest ?? 0n;
  }

  /** Takes what is whole and completed before `until`, in the order of completion. */
  private async merge(until: number, now: number): Promise<number> {
    const heap = this.heap;
    heap.clear();
    for (const ring of this.rings) if (ring.present(now)) heap.push(ring);
    if (heap.size === 0) return 0;
    const sink = await this.openSink();
    const { translator, shares } = this;
    const batch = sink.batch;
    let most = sink.batchEvents;
    let taken = 0;
    let turn = SLICE;
    for (let ring = heap.top; ring !== undefined && ring.key <= until; ring = heap.top) {
      if (batch.length === 0) sink.batchSince = now;
      const share = shares[ring.index] as Share;
      const room = batch.length < most && ring.position < share.position && ring.sideDone < share.side;
      const key = ring.key;
      let count = 0;
      if (room) {
        count = translator.appendPlain(ring, batch, Math.min(until, heap.secondKey), share.position);
        if (count === 0 && translator.append(ring, batch)) {
          count = 1;
          ring.advance();
        }
      }
      if (count === 0) {
        // More than a chunk may hold, in one record: only a damaged ring says so.
        if (batch.length === 0) ring.dropPayload();
        else await this.flush(sink);
        if (sink.limitReached) return taken;
        most = sink.batchEvents;
        continue;
      }
      if (key < this.lastKey && ring !== this.lastRing) this.lateEvents += 1;
      else this.lastKey = ring.key;
      this.lastRing = ring;
      taken += count;
      if (ring.present(now)) heap.sink();
      else heap.pop();
      if (taken >= turn) {
        turn = taken + SLICE;
        await nextTurn();
      }
    }
    return taken;
  }

  private async openSink(): Promise<TraceSink> {
    this.sink ??= await this.parts.openSink();
    return this.sink;
  }

  private async flush(sink: TraceSink): Promise<void> {
    await sink.flush(this.rings, Date.now());
    for (const ring of this.rings) this.startShare(ring);
  }

  private startShare(ring: RingReader): void {
    const share = this.shares[ring.index] as Share;
    share.position = ring.position + ring.records / RING_SHARE;
    share.side = ring.sideDone + ring.sideBytes / RING_SHARE;
  }

  private async flushWhenDue(now: number): Promise<void> {
    const sink = this.sink;
    if (sink === undefined || sink.batch.length === 0) return;
    const age = now - sink.batchSince;
    const waiting = this.rings.filter((ring) => this.isOver(ring) && ring.position > ring.released).length;
    const scarce = waiting * 4 >= this.parts.control.ringLimit;
    if (age >= BATCH_AGE_MS || (waiting > 0 && (scarce || age >= LEFT_AGE_MS))) await this.flush(sink);
  }

  /** Its thread handed it back, or died, and everything in it was taken. */
  private isOver(ring: RingReader): boolean {
    return ring.drained && (ring.dead || this.parts.control.ringState(ring.index) === RingState.LEFT);
  }

  private freeRings(): void {
    for (const ring of this.rings) {
      if (!this.isOver(ring) || ring.released < ring.position) continue;
      ring.disown();
      this.parts.control.setRingState(ring.index, RingState.FREE);
    }
  }

  private checkOwners(): void {
    const { control, processes } = this.parts;
    for (const ring of this.rings) {
      if (ring.tid === 0 || ring.dead || control.ringState(ring.index) !== RingState.OWNED) continue;
      ring.dead = !processes.ownerAlive(ring.pid, ring.tid, ring.process);
    }
  }

  /** The call that a dead thread was in becomes an event that says so. */
  private async takeUnfinished(): Promise<void> {
    const sink = this.sink;
    if (sink === undefined) return;
    for (const ring of this.rings) {
      if (!ring.dead || !ring.drained || ring.inflightTaken) continue;
      ring.inflightTaken = true;
      if (!ring.presentInflight()) continue;
      if (!this.translator.append(ring, sink.batch)) {
        await this.flush(sink);
        this.translator.append(ring, sink.batch);
      }
      this.unfinished += 1;
    }
  }

  private readMaps(process: number): void {
    const now = Date.now();
    if (now - (this.mapsRead.get(process) ?? 0) < MAPS_EVERY_MS) return;
    this.mapsRead.set(process, now);
    const pid = this.parts.definer.processes.get(process)?.pid;
    if (pid === undefined || readProcessFile(this.parts.directory, pid)?.process !== process) return;
    try {
      this.translator.mappings(
        process,
        readFileSync(`/proc/${this.parts.processes.hostPid(pid)}/maps`, 'latin1'),
      );
    } catch {
      // It is gone; its last words held its mappings.
    }
  }
}
