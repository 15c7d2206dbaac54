// SPDX-License-Identifier: Apache-2.0
/** Perfetto's own format (ui.perfetto.dev opens it); the fields are those of perfetto.proto beside this file. */
import { isDmaCall } from '../../session/groups/dma-arguments.js';
import { type InterruptRoute, routeName } from '../../session/interrupts.js';
import type { EventBatch } from '../../traces/columns.js';
import { type PlacedFinding, placed } from './findings.js';
import { type FlowRole, FlowTracker, type InterruptMark, type Queue, type QueueMark } from './flows.js';
import type { ExportFormat, ExportRequest } from './format.js';
import { OutputFile } from './output.js';
import { PacketBuffer } from './packet-buffer.js';
import { MessageWriter } from './protobuf-writer.js';
import { type DmaRange, type GroupText, Walk } from './walk.js';
import { DmaWindows } from './windows.js';

const SEQUENCE = 1;
const CLEARED = 1;
const NEEDS = 2;
const Type = { BEGIN: 1, END: 2, INSTANT: 3, COUNTER: 4 } as const;
const UNIT_BYTES = 3;

const PENDING_BYTES = 1 << 16;
const NOTHING = new Uint8Array(0);
/** What the packet of each event begins with: its sequence, and that it uses interned texts. */
const PACKET_START = new MessageWriter().number(10, SEQUENCE).number(13, NEEDS).bytes.slice();

/** TrackEvent's flow_ids and terminating_flow_ids. */
const FLOW_BEGINS = 47;
const FLOW_ENDS = 48;
type FlowField = typeof FLOW_BEGINS | typeof FLOW_ENDS;

/** InternedData's fields. */
const Pool = { CATEGORY: 1, NAME: 2, KEY: 3, STRING: 29 } as const;

interface Made {
  readonly text: GroupText;
  readonly flow: FlowRole | undefined;
  readonly dma: boolean;
  /** TrackEvent's fields but type and value. */
  readonly fields: Uint8Array;
  readonly track: number;
  /** The value says something of its own. */
  readonly valued: boolean;
}

class PerfettoWriter {
  readonly #file: OutputFile;
  readonly #packet = new MessageWriter();
  readonly #pending = new PacketBuffer(PACKET_START);
  readonly #inner = new MessageWriter();
  /** What a single event has beside its fields. */
  readonly #own = new MessageWriter();
  readonly #pools = new Map<number, Map<string, number>>();
  readonly #tracks = new Map<string, number>();
  readonly #valueKey: number;

  constructor(file: OutputFile) {
    this.#file = file;
    this.#put(this.#packet.clear().number(10, SEQUENCE).number(13, CLEARED));
    this.#valueKey = this.intern(Pool.KEY, 'value');
  }

  intern(pool: number, text: string): number {
    let held = this.#pools.get(pool);
    if (held === undefined) {
      held = new Map();
      this.#pools.set(pool, held);
    }
    const known = held.get(text);
    if (known !== undefined) return known;
    const iid = held.size + 1;
    held.set(text, iid);
    const entry = this.#inner.clear().number(1, iid).text(2, text).bytes.slice();
    const data = this.#inner.clear().message(pool, entry).bytes.slice();
    this.#put(this.#packet.clear().number(10, SEQUENCE).number(13, NEEDS).message(12, data));
    return iid;
  }

  /** The uuid of a track; `describe` adds what it is when it is new. */
  track(key: string, describe: (descriptor: MessageWriter) => void): number {
    const known = this.#tracks.get(key);
    if (known !== undefined) return known;
    const uuid = this.#tracks.size + 1;
    this.#tracks.set(key, uuid);
    const descriptor = new MessageWriter().number(1, uuid);
    describe(descriptor);
    this.#put(this.#packet.clear().number(10, SEQUENCE).message(60, descriptor.bytes));
    return uuid;
  }

  /** Fields of a TrackEvent: category, name, track, and what is said of it. */
  fields(
    category: string,
    name: string,
    track: number,
    said: Readonly<Record<string, string | number | bigint>>,
  ): Uint8Array {
    const event = new MessageWriter()
      .number(3, this.intern(Pool.CATEGORY, category))
      .number(10, this.intern(Pool.NAME, name))
      .number(11, track);
    for (const [key, value] of Object.entries(said)) {
      if (value === '') continue;
      const annotation = new MessageWriter().number(1, this.intern(Pool.KEY, key));
      if (typeof value === 'string') annotation.number(17, this.intern(Pool.STRING, value));
      else if (typeof value === 'number') annotation.bigint(4, BigInt(value));
      else annotation.bigint(7, value);
      event.message(4, annotation.bytes);
    }
    return event.bytes.slice();
  }

  event(time: number, type: number, fields: Uint8Array): void {
    this.#emit(time, type, fields, this.#own.clear());
  }

  /** An event at which an arrow begins or ends. */
  flow(time: number, fields: Uint8Array, field: FlowField, id: number): void {
    this.#emit(time, Type.INSTANT, fields, this.#own.clear().fixed(field, id));
  }

  /** An event with its value as an annotation in hexadecimal. */
  valued(time: number, type: number, fields: Uint8Array, low: number, high: number): void {
    const annotation = this.#inner.clear().number(1, this.#valueKey).words(7, low, high);
    this.#emit(time, type, fields, this.#own.clear().nested(4, annotation));
  }

  /** The name is each one's own, so it is not interned. */
  mapping(time: number, track: number, range: DmaRange): void {
    const iova = BigInt.asUintN(64, range.iova);
    const category = this.intern(Pool.CATEGORY, 'dma');
    const keys = { iova: this.intern(Pool.KEY, 'iova'), size: this.intern(Pool.KEY, 'size') };
    const own = this.#own
      .clear()
      .number(3, category)
      .text(23, `0x${iova.toString(16)}`)
      .number(11, track);
    own.nested(4, this.#inner.clear().number(1, keys.iova).bigint(7, iova));
    own.nested(4, this.#inner.clear().number(1, keys.size).bigint(7, range.size));
    this.#emit(time, Type.BEGIN, NOTHING, own);
  }

  end(time: number, track: number): void {
    this.#emit(time, Type.END, NOTHING, this.#own.clear().number(11, track));
  }

  counter(time: number, track: number, value: bigint): void {
    this.#emit(time, Type.COUNTER, NOTHING, this.#own.clear().number(11, track).bigint(30, value));
  }

  close(): void {
    this.#flush();
    this.#file.close();
  }

  #emit(time: number, type: number, fields: Uint8Array, own: MessageWriter): void {
    this.#pending.event(time, type, fields, own);
    if (this.#pending.length > PENDING_BYTES) this.#flush();
  }

  #put(packet: MessageWriter): void {
    this.#pending.packet(packet.bytes);
    if (this.#pending.length > PENDING_BYTES) this.#flush();
  }

  #flush(): void {
    this.#file.bytes(this.#pending.bytes);
    this.#pending.clear();
  }
}

class PerfettoExport {
  readonly #request: ExportRequest;
  readonly #walk: Walk;
  readonly #out: PerfettoWriter;
  readonly #flows: FlowTracker;
  readonly #windows = new DmaWindows();
  readonly #range = { iova: 0n, size: 0n };
  /** Fields of marks, by register. */
  readonly #queues = new Map<Queue, Map<string, Uint8Array>>();
  readonly #vectors = new Map<InterruptRoute, Uint8Array>();
  /** By object: the counter's track, and those of the lanes. */
  readonly #mapped = new Map<string, { readonly counter: number; readonly lanes: number[] }>();
  #last = 0;

  constructor(request: ExportRequest) {
    this.#request = request;
    this.#walk = new Walk(request.trace, request.callSites);
    this.#out = new PerfettoWriter(new OutputFile(request.path));
    this.#flows = new FlowTracker({
      queue: (mark) => this.#queue(mark),
      interrupt: (mark) => this.#interrupt(mark),
    });
  }

  async run(): Promise<void> {
    const rows = this.#walk.run<Made>(
      (text) => this.#make(text),
      (made, batch, row) => this.#row(made, batch, row),
    );
    for (const events of rows) this.#request.progress?.(events);
    this.#flows.end();
    for (const { object, lane } of this.#windows.open()) this.#out.end(this.#last, this.#lane(object, lane));
    for (const finding of placed(this.#request.trace, await this.#request.findings())) this.#finding(finding);
    this.#out.close();
  }

  #make(text: GroupText): Made {
    const {
      kind,
      operation,
      object,
      device,
      register,
      region,
      offset,
      site,
      errno,
      result,
      interrupt,
      caught,
    } = text;
    const track = this.#thread(text);
    const said = {
      object,
      device,
      register,
      ...(region !== '' && { region, offset: BigInt.asUintN(64, offset) }),
      ...(text.width > 0 && { width: text.width }),
      ...(errno !== '' ? { errno } : result !== 0n ? { result: BigInt.asUintN(64, result) } : {}),
      interrupt,
      caught,
      site,
    };
    const name = register === '' ? operation : `${operation} ${register}`;
    return {
      text,
      flow: this.#flows.role(text),
      dma: isDmaCall(operation),
      fields: this.#out.fields(kind, name, track, said),
      track,
      valued: region !== '' || kind === 'read' || kind === 'write' || kind === 'wake',
    };
  }

  #row({ text, flow, dma, fields, track, valued }: Made, batch: EventBatch, row: number): void {
    const { time, duration } = this.#walk;
    const out = this.#out;
    const done = time + duration;
    if (done > this.#last) this.#last = done;
    const type = duration > 0 ? Type.BEGIN : Type.INSTANT;
    if (valued)
      out.valued(
        time,
        type,
        fields,
        batch.valueWords[2 * row] as number,
        batch.valueWords[2 * row + 1] as number,
      );
    else out.event(time, type, fields);
    if (duration > 0) out.end(done, track);
    if (flow !== undefined) this.#flows.event(flow, text, done);
    if (dma && text.errno === '') this.#dma(text, batch, row, done);
  }

  #thread({ threadId, pid, tid, thread }: GroupText): number {
    const { definitions } = this.#request.trace;
    const process = this.#process(definitions.threads.get(threadId)?.process ?? 0);
    return this.#out.track(`thread ${threadId}`, (track) => {
      if (tid === 0) track.number(5, process).text(2, 'no thread');
      else track.message(4, new MessageWriter().number(1, pid).number(2, tid).text(5, thread).bytes);
    });
  }

  #process(id: number): number {
    const process = this.#request.trace.definitions.processes.get(id);
    return this.#out.track(`process ${id}`, (track) => {
      if (process === undefined) track.text(2, 'vfiotape');
      else {
        const descriptor = new MessageWriter().number(1, process.pid);
        for (const word of process.argv) descriptor.text(2, word);
        track.message(3, descriptor.text(6, process.exe).bytes);
      }
    });
  }

  /** A track of the session, below one that has all of its kind. */
  #named(group: string, name: string): number {
    const parent = this.#out.track(group, (track) => track.text(2, group));
    return this.#out.track(`${group}\0${name}`, (track) => track.number(5, parent).text(2, name));
  }

  #queue({ queue, what, register, time, flow }: QueueMark): void {
    let held = this.#queues.get(queue);
    if (held === undefined) {
      held = new Map();
      this.#queues.set(queue, held);
    }
    let fields = held.get(register);
    if (fields === undefined) {
      const track = this.#named(`queues of ${this.#walk.session.names.label(queue.device)}`, queue.name);
      fields = this.#out.fields('queue', what, track, { register });
      held.set(register, fields);
    }
    if (flow === 0) this.#out.event(time, Type.INSTANT, fields);
    else this.#out.flow(time, fields, FLOW_BEGINS, flow);
  }

  #interrupt({ route, time, flow }: InterruptMark): void {
    let fields = this.#vectors.get(route);
    if (fields === undefined) {
      const group = `interrupts of ${this.#walk.session.names.label(route.device)}`;
      fields = this.#out.fields('interrupt', 'interrupt', this.#named(group, routeName(route)), {});
      this.#vectors.set(route, fields);
    }
    if (flow === 0) this.#out.event(time, Type.INSTANT, fields);
    else this.#out.flow(time, fields, FLOW_ENDS, flow);
  }

  #lane(object: string, lane: number): number {
    const { lanes } = this.#mappings(object);
    const track = lanes[lane] ?? this.#named(`DMA windows of ${object}`, `lane ${lane}`);
    lanes[lane] = track;
    return track;
  }

  #mappings(object: string): { readonly counter: number; readonly lanes: number[] } {
    let held = this.#mapped.get(object);
    if (held === undefined) {
      const counter = this.#out.track(`mapped ${object}`, (track) =>
        track
          .text(2, `mapped for DMA in ${object}`)
          .message(8, new MessageWriter().number(3, UNIT_BYTES).bytes),
      );
      held = { counter, lanes: [] };
      this.#mapped.set(object, held);
    }
    return held;
  }

  #dma({ object, operation }: GroupText, batch: EventBatch, row: number, time: number): void {
    const range = this.#range;
    if (!this.#walk.dma(operation, batch, row, range)) return;
    if (operation.includes('UNMAP')) {
      const window = this.#windows.unmap(object, range.iova, range.size);
      if (window !== undefined) this.#out.end(time, this.#lane(object, window.lane));
    } else {
      const window = this.#windows.map(object, range.iova, range.size, time);
      if (window !== undefined) this.#out.mapping(time, this.#lane(object, window.lane), range);
    }
    this.#out.counter(time, this.#mappings(object).counter, this.#windows.bytes(object));
  }

  #finding({ finding, event, time }: PlacedFinding): void {
    const { rule, severity, message, object, count } = finding;
    const track = this.#named('findings', severity);
    this.#out.event(
      time,
      Type.INSTANT,
      this.#out.fields('finding', rule, track, { message, object, count, event }),
    );
  }
}

export const perfetto: ExportFormat = {
  extension: 'perfetto-trace',
  findings: true,
  async write(request) {
    await new PerfettoExport(request).run();
  },
};
