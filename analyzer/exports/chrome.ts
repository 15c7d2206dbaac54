// SPDX-License-Identifier: Apache-2.0
/**
 * The JSON that chrome://tracing, Speedscope and Perfetto read ("Trace Event Format"): for tools that don't know Perfetto's own format, which
 * is smaller and exact. Its times are microseconds.
 */
import { routeName } from '../../session/interrupts.js';
import { type PlacedFinding, placed } from './findings.js';
import { type FlowRole, FlowTracker, type InterruptMark, type QueueMark } from './flows.js';
import type { ExportFormat, ExportRequest } from './format.js';
import { OutputFile } from './output.js';
import { type GroupText, Walk } from './walk.js';

interface Made {
  readonly text: GroupText;
  readonly flow: FlowRole | undefined;
  /** name, cat, pid, tid and args without their end. */
  readonly rest: string;
}

/** Queues and vectors are drawn as threads of a process of their own. */
const DEVICES_PID = 0;

class ChromeExport {
  readonly #request: ExportRequest;
  readonly #walk: Walk;
  readonly #file: OutputFile;
  readonly #flows: FlowTracker;
  readonly #tracks = new Map<string, number>();
  readonly #threads = new Set<number>();
  #first = true;

  constructor(request: ExportRequest) {
    this.#request = request;
    this.#walk = new Walk(request.trace, request.callSites);
    this.#file = new OutputFile(request.path);
    this.#flows = new FlowTracker({
      queue: (mark) => this.#queue(mark),
      interrupt: (mark) => this.#interrupt(mark),
    });
  }

  async run(): Promise<void> {
    this.#file.text('{"displayTimeUnit":"ns","traceEvents":[\n');
    this.#meta('process_name', DEVICES_PID, 0, 'devices');
    for (const { pid, exe } of this.#request.trace.definitions.processes.values())
      this.#meta('process_name', pid, pid, exe);
    const walk = this.#walk;
    const rows = walk.run<Made>(
      (text) => this.#make(text),
      ({ text, flow, rest }, batch, row) => {
        const { time, duration } = walk;
        const when =
          duration > 0
            ? `"ph":"X","ts":${us(time)},"dur":${us(duration)}`
            : `"ph":"i","s":"t","ts":${us(time)}`;
        this.#put(
          `{${when},${rest},"event":${batch.firstEvent + row},"value":"0x${(batch.value[row] as bigint).toString(16)}"}}`,
        );
        if (flow !== undefined) this.#flows.event(flow, text, time + duration);
      },
    );
    for (const events of rows) this.#request.progress?.(events);
    this.#flows.end();
    for (const finding of placed(this.#request.trace, await this.#request.findings())) this.#finding(finding);
    this.#file.text('\n]}\n');
    this.#file.close();
  }

  #make(text: GroupText): Made {
    const {
      kind,
      operation,
      pid,
      tid,
      thread,
      object,
      device,
      register,
      region,
      offset,
      site,
      errno,
      interrupt,
    } = text;
    if (tid !== 0 && !this.#threads.has(text.threadId)) {
      this.#threads.add(text.threadId);
      this.#meta('thread_name', pid, tid, thread);
    }
    const said = {
      object,
      device,
      register,
      region,
      offset: region === '' ? '' : `0x${BigInt.asUintN(64, offset).toString(16)}`,
      result: text.result === 0n ? '' : String(text.result),
      errno,
      interrupt,
      site,
    };
    const args = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ''));
    const name = register === '' ? operation : `${operation} ${register}`;
    const inner = JSON.stringify(args).slice(0, -1);
    const rest = `"name":${JSON.stringify(name)},"cat":${JSON.stringify(kind)},"pid":${pid},"tid":${tid},"args":${inner === '{' ? `{"kind":${JSON.stringify(kind)}` : inner}`;
    return { text, flow: this.#flows.role(text), rest };
  }

  #queue({ queue, what, register, time, flow }: QueueMark): void {
    const tid = this.#track(`${this.#walk.session.names.label(queue.device)} ${queue.name}`);
    // An arrow begins and ends at a slice, so that these have a length.
    this.#put(
      `{"ph":"X","ts":${us(time)},"dur":0.001,"name":"${what}","cat":"queue","pid":${DEVICES_PID},"tid":${tid},"args":{"register":${JSON.stringify(register)}}}`,
    );
    if (flow !== 0) this.#arrow('s', flow, tid, time);
  }

  #interrupt({ route, time, flow }: InterruptMark): void {
    const tid = this.#track(`${this.#walk.session.names.label(route.device)} ${routeName(route)}`);
    this.#put(
      `{"ph":"X","ts":${us(time)},"dur":0.001,"name":"interrupt","cat":"interrupt","pid":${DEVICES_PID},"tid":${tid}}`,
    );
    if (flow !== 0) this.#arrow('f', flow, tid, time);
  }

  #arrow(phase: 's' | 'f', id: number, tid: number, time: number): void {
    const end = phase === 'f' ? '"bp":"e",' : '';
    this.#put(
      `{"ph":"${phase}",${end}"id":${id},"ts":${us(time)},"name":"doorbell to interrupt","cat":"flow","pid":${DEVICES_PID},"tid":${tid}}`,
    );
  }

  #finding({ finding: { rule, severity, message, object }, time }: PlacedFinding): void {
    const tid = this.#track('findings');
    this.#put(
      `{"ph":"i","s":"g","ts":${us(time)},"name":${JSON.stringify(rule)},"cat":"finding","pid":${DEVICES_PID},"tid":${tid},"args":${JSON.stringify({ severity, object, message })}}`,
    );
  }

  #track(name: string): number {
    let tid = this.#tracks.get(name);
    if (tid === undefined) {
      tid = this.#tracks.size + 1;
      this.#tracks.set(name, tid);
      this.#meta('thread_name', DEVICES_PID, tid, name);
    }
    return tid;
  }

  #meta(what: 'process_name' | 'thread_name', pid: number, tid: number, name: string): void {
    this.#put(
      `{"ph":"M","name":"${what}","pid":${pid},"tid":${tid},"args":{"name":${JSON.stringify(name)}}}`,
    );
  }

  #put(event: string): void {
    this.#file.text(this.#first ? event : `,\n${event}`);
    this.#first = false;
  }
}

/** Microseconds, without an exponent. */
function us(ns: number): string {
  const rest = ns % 1000;
  return rest === 0 ? String(ns / 1000) : `${Math.floor(ns / 1000)}.${String(rest).padStart(3, '0')}`;
}

export const chrome: ExportFormat = {
  extension: 'json',
  findings: true,
  async write(request) {
    await new ChromeExport(request).run();
  },
};
