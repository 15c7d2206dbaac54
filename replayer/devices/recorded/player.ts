// SPDX-License-Identifier: Apache-2.0
/**
 * Plays the device's part of a recording. What the driver writes is held against the script, and each write that fits
 * lets the device do what it did after it; what the driver reads is answered in the recorded order, then by the last
 * value, so that a driver may poll more or less often than it did.
 */
import type { DriverWatch, Host, IrqRequest, Width } from '../device.js';
import { littleEndian } from './accesses.js';
import { ComparedMemory, type Fill, isFill } from './compared.js';
import type { Departure, DepartureKind, DriverSite } from './departure.js';
import { type LivePiece, RecordedMemory } from './memory.js';
import type {
  ConfigStep,
  DmaStep,
  InterruptStep,
  IrqStep,
  MapStep,
  ReadStep,
  ResetStep,
  Step,
  WriteStep,
} from './script.js';
import { LENIENT, STRICT, StallWatch } from './stall.js';

/** What the driver writes: the script goes on with each. */
type Gate = WriteStep | (ConfigStep & { readonly what: 'config-write' }) | IrqStep | ResetStep;
type Answer = ReadStep | (ConfigStep & { readonly what: 'config-read' });

/** Writes of other threads that one may overtake. */
const OVERTAKEN_MOST = 16;
/** How far the script is read ahead: writes, and steps of all kinds. */
const GATES_AHEAD = 64;
const STEPS_AHEAD = 1 << 16;
const DEPARTURES_KEPT = 1000;
const REGISTERS_MOST = 1 << 20;
/** How long memory may be otherwise than recorded: a driver may write it after its doorbell, as virtio's do. */
const PATIENCE_MS = 1000;
const RETRY_MS = 2;
/** After so long without a word of the driver's, an interrupt that a write of the driver's came before is not held back. */
const IDLE_MS = 50;
/** Of VFIO_DEVICE_SET_IRQS. */
const IRQ_DATA_EVENTFD = 4;
const IRQ_ACTION_TRIGGER = 32;
const VECTORS_MOST = 2048;

export interface PlayerOptions {
  readonly bdf: string;
  readonly script: Iterator<Step>;
  /** Bits of a register that are not compared. */
  readonly masked: (region: number, offset: number, width: Width) => bigint;
  /** ` CC = 0x00460001 EN=1`: a register's name with its value. */
  readonly text: (region: number, offset: number, width: number, value: bigint) => string;
  /** At the first departure the device stops: nothing is done any more. */
  readonly stops: boolean;
  readonly depart: (departure: Departure) => void;
  /** The driver waits, and there is nothing left that it could be given. */
  readonly exhausted: () => void;
  /** Where the driver is now. */
  readonly site: () => DriverSite | undefined;
}

function isGate(step: Step): step is Gate {
  return (
    step.what === 'write' || step.what === 'config-write' || step.what === 'irqs' || step.what === 'reset'
  );
}

function isAnswer(step: Step): step is Answer {
  return step.what === 'read' || step.what === 'config-read';
}

function keyOf(step: Gate | Answer): string {
  switch (step.what) {
    case 'read':
    case 'write':
      return `${step.region}+${step.offset}/${step.width}`;
    case 'config-read':
    case 'config-write':
      return `config+${step.offset}/${step.bytes.length}`;
    case 'irqs':
    case 'reset':
      return step.what;
  }
}

export class Player implements DriverWatch {
  readonly departures: Departure[] = [];
  departed = 0;
  writes = 0;
  reads = 0;
  dmaBytes = 0;
  interrupts = 0;
  readonly #options: PlayerOptions;
  readonly #memory = new RecordedMemory();
  readonly #last = new Map<string, bigint | Uint8Array>();
  #host: Host | undefined;
  #ahead: Step[] = [];
  #gates = 0;
  #ended = false;
  /** The device waits for the driver's memory to be as it was. */
  #waiting: { readonly step: DmaStep; readonly since: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** The device wrote memory, and has not interrupted since. */
  #unannounced = false;
  readonly #stall: StallWatch;
  /** When the last step was made that the driver had a part in, in the recording's time, ns. */
  #lastTime = 0;
  readonly #compared = new ComparedMemory(this.#memory, () => this.#host);
  /** Of a recording on hardware: interrupts are known by the driver's wake-ups only. */
  #isCompared = false;
  /** What the driver has asked interrupts for. */
  #routed: { readonly index: number; readonly vectors: readonly number[] } | undefined;

  constructor(options: PlayerOptions) {
    this.#options = options;
    this.#stall = new StallWatch({
      limits: options.stops ? STRICT : LENIENT,
      awaits: () => this.#awaits(),
      recordedMs: () => {
        const next = this.#ahead.find(isGate);
        return next === undefined ? undefined : Math.max(0, next.time - this.#lastTime) / 1e6;
      },
      stuck: (got, again) => this.#stuck(got, again),
    });
  }

  attach(host: Host): void {
    this.#host = host;
  }

  /** What a driver loads from a register. */
  read(region: number, offset: number, width: Width): bigint {
    this.#play();
    const key = `${region}+${offset}/${width}`;
    const found = this.#answer(key);
    if (found?.what === 'read') return found.value;
    const last = this.#last.get(key);
    if (typeof last === 'bigint') {
      this.#stall.polled(() => `load ${this.#options.text(region, offset, width, last)}`);
      return last;
    }
    this.#depart(
      'unknown',
      this.#ahead.find(isGate),
      `load ${this.#options.text(region, offset, width, 0n).replace(/ = .*/, '')}`,
    );
    // As good as any: what it will be later on.
    const later = this.#ahead.find((step) => step.what === 'read' && keyOf(step) === key) as
      | ReadStep
      | undefined;
    return later?.value ?? (1n << BigInt(8 * width)) - 1n;
  }

  write(region: number, offset: number, width: Width, value: bigint): void {
    const masked = this.#options.masked(region, offset, width);
    this.#gate(
      `${region}+${offset}/${width}`,
      (step) =>
        step.what === 'write' &&
        (step.value === undefined || this.#sameNumber(step.value & ~masked, value & ~masked, width)),
      () => `store ${this.#options.text(region, offset, width, value)}`,
    );
  }

  /** Of two numbers that differ, both may be addresses of the same memory. */
  #sameNumber(recorded: bigint, seen: bigint, width: Width): boolean {
    if (recorded === seen) return true;
    this.#memory.look(this.#host?.windows ?? []);
    return this.#memory.sameNumber(recorded, seen, width);
  }

  configRead(offset: number, answer: Uint8Array): void {
    this.#play();
    const found = this.#answer(`config+${offset}/${answer.length}`);
    if (found?.what === 'config-read') {
      answer.set(found.bytes);
      return;
    }
    // Bytes that were read before keep their values; the others are VFIO's own, made of the recorded device.
    const last = this.#last.get(`config+${offset}/${answer.length}`);
    if (last instanceof Uint8Array) answer.set(last);
    this.#stall.polled(
      () => `read ${this.#options.text(CONFIG, offset, answer.length, littleEndian(answer.subarray(0, 8)))}`,
    );
  }

  configWrite(offset: number, bytes: Uint8Array): void {
    const masked = bytes.length <= 8 ? this.#options.masked(CONFIG, offset, bytes.length as Width) : 0n;
    const value = littleEndian(bytes);
    this.#gate(
      `config+${offset}/${bytes.length}`,
      (step) => step.what === 'config-write' && ((littleEndian(step.bytes) ^ value) & ~masked) === 0n,
      () => `write ${this.#options.text(CONFIG, offset, bytes.length, value)}`,
    );
  }

  reset(): void {
    this.#gate(
      'reset',
      () => true,
      () => 'VFIO_DEVICE_RESET',
    );
  }

  setIrqs({ index, start, count, flags }: IrqRequest): void {
    this.#gate(
      'irqs',
      (step) =>
        step.what === 'irqs' &&
        step.request.index === index &&
        step.request.start === start &&
        step.request.count === count &&
        step.request.flags === flags,
      () => `VFIO_DEVICE_SET_IRQS index=${index} start=${start} count=${count} flags=0x${flags.toString(16)}`,
    );
  }

  /** The driver has ended: what it did not do. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#play();
    clearTimeout(this.#idle);
    this.#stall.stop();
    if (this.#stopped) return;
    if (this.#waiting !== undefined) this.#memoryDiffers(this.#waiting.step);
    let first: Gate | undefined;
    let count = 0;
    for (; this.#ahead.length > 0; this.#fill()) {
      for (const step of this.#ahead) {
        if (!isGate(step)) continue;
        first ??= step;
        count++;
      }
      this.#ahead = [];
      this.#gates = 0;
    }
    if (first !== undefined)
      this.#depart('missing', first, `the driver ended; ${count} of its recorded writes did not come`);
  }

  get #stopped(): boolean {
    return this.#options.stops && this.departed > 0;
  }

  // --- the driver's part -------------------------------------------------------------------------------------

  /** The recorded answer, where a read of this register comes before the next write of its thread. */
  #answer(key: string): Answer | undefined {
    this.#fill();
    const blocked = new Set<number>();
    for (let i = 0; i < this.#ahead.length; i++) {
      const step = this.#ahead[i] as Step;
      if (isGate(step)) {
        blocked.add(step.thread);
        if (blocked.size > OVERTAKEN_MOST) return undefined;
      } else if (isAnswer(step) && !blocked.has(step.thread) && keyOf(step) === key) {
        this.#ahead.splice(i, 1);
        this.#remember(step);
        this.reads++;
        this.#lastTime = step.time;
        this.#stall.progress();
        return step;
      }
    }
    return undefined;
  }

  #remember(step: Answer): void {
    const key = keyOf(step);
    if (this.#last.size < REGISTERS_MOST || this.#last.has(key))
      this.#last.set(key, step.what === 'read' ? step.value : step.bytes);
  }

  #gate(key: string, fits: (step: Gate) => boolean, got: () => string): void {
    this.#play();
    this.#fill();
    this.#stall.progress();
    // Device steps that are still to come must not keep the driver's own order from being seen.
    const gates = this.#ahead.filter(isGate);
    const [next] = gates;
    if (next === undefined) {
      this.#depart('extra', undefined, got());
      return;
    }
    const threads = new Set<number>();
    for (const step of gates.slice(0, OVERTAKEN_MOST)) {
      if (threads.has(step.thread)) continue;
      threads.add(step.thread);
      if (keyOf(step) !== key) continue;
      if (!fits(step)) this.#depart('value', step, got());
      this.#pass(step);
      return;
    }
    this.#depart('order', next, got());
    // To go on: if it comes later, what lies between was left out.
    const later = gates.find((step) => keyOf(step) === key && fits(step));
    if (later === undefined) return;
    for (const step of gates.slice(0, gates.indexOf(later))) this.#drop(step);
    this.#pass(later);
  }

  #pass(gate: Gate): void {
    this.writes++;
    this.#lastTime = gate.time;
    if (gate.what === 'irqs') this.#route(gate.request);
    this.#leave(gate);
  }

  /** The script goes on behind it. */
  #leave(gate: Gate): void {
    // What its thread read before it will not be read any more; it is what was known last.
    const until = this.#ahead.indexOf(gate);
    const passed = this.#ahead
      .slice(0, until)
      .filter((step) => isAnswer(step) && step.thread === gate.thread);
    for (const step of passed) this.#remember(step as Answer);
    if (passed.length > 0) this.#ahead = this.#ahead.filter((step) => !passed.includes(step));
    const awaited = this.#checkFills(gate);
    this.#drop(gate);
    if (awaited.length > 0) this.#ahead.unshift(...awaited);
    // After the access has been answered: a doorbell does not wait for its command.
    this.#host?.defer(() => this.#play());
  }

  /** A silent driver that has what it needs to be called. */
  #awaits(): boolean {
    const host = this.#host;
    const isOver = this.#options.stops && !this.#ahead.some(isGate);
    return host !== undefined && !isOver && (host.messages !== 'none' || host.windows.length > 0);
  }

  /** What comes after the next recorded write may be what it waits for. */
  #stuck(got: string, again: boolean): void {
    this.#fill();
    const next = this.#ahead.find(isGate);
    if (!again) this.#depart('waits', next, got);
    if (this.#stopped) return;
    if (next === undefined) this.#options.exhausted();
    else this.#leave(next);
  }

  /** What its thread had written for the device by then. Answers what is not there yet. */
  #checkFills(gate: Gate): readonly DmaStep[] {
    const fills = this.#ahead
      .slice(0, this.#ahead.indexOf(gate))
      .filter((step): step is Fill => isFill(step) && step.thread === gate.thread);
    if (fills.length === 0) return [];
    for (const fill of fills) this.#compared.reach(fill);
    this.#ahead = this.#ahead.filter((step) => !(isFill(step) && fills.includes(step)));
    return fills.flatMap((fill) => this.#compared.unsettled(fill) ?? []);
  }

  #drop(gate: Gate): void {
    this.#ahead.splice(this.#ahead.indexOf(gate), 1);
    this.#gates--;
  }

  #fill(): void {
    while (!this.#ended && this.#gates < GATES_AHEAD && this.#ahead.length < STEPS_AHEAD) {
      const { value, done } = this.#options.script.next();
      if (done === true) this.#ended = true;
      else {
        this.#ahead.push(value);
        if (isGate(value)) this.#gates++;
      }
    }
  }

  // --- the device's part ---------------------------------------------------------------------------------------

  /** What the device did before the next write of the driver. */
  #play(): void {
    if (this.#stopped) return;
    this.#fill();
    for (let i = 0; i < this.#ahead.length && !this.#stopped; ) {
      const step = this.#ahead[i] as Step;
      if (isGate(step)) {
        this.#announceWhenIdle();
        return;
      }
      if (isFill(step)) this.#compared.reach(step);
      if (isAnswer(step) || isFill(step)) {
        i++;
        continue;
      }
      if (!this.#act(step as DmaStep | InterruptStep | MapStep)) return;
      this.#ahead.splice(this.#ahead.indexOf(step), 1);
      this.#fill();
    }
  }

  /**
   * A driver that found a completion by itself may have written before its interrupt came; this time it may wait for
   * the interrupt.
   */
  #announceWhenIdle(): void {
    clearTimeout(this.#idle);
    if (this.#isCompared) {
      this.#idle = setTimeout(() => this.#whenIdle(), IDLE_MS);
      return;
    }
    if (!this.#unannounced) return;
    const next = this.#ahead.find(({ what }) => what === 'dma' || what === 'interrupt');
    if (next?.what !== 'interrupt') return;
    this.#idle = setTimeout(() => {
      if (this.#stopped) return;
      const at = this.#ahead.indexOf(next);
      if (at < 0) return;
      this.#ahead.splice(at, 1);
      this.#interrupt(next);
      this.#play();
    }, IDLE_MS);
  }

  /**
   * The same where memory was compared: what was taken for the driver's may be what it waits for, and an interrupt that the
   * recorded driver had no need of is in no recording.
   */
  #whenIdle(): void {
    if (this.#stopped) return;
    const fills = this.#ahead.slice(0, this.#ahead.findIndex(isGate)).filter(isFill);
    const given = fills.filter((fill) => this.#compared.giveUntouched(fill));
    if (given.length > 0) {
      this.#ahead = this.#ahead.filter((step) => !(isFill(step) && given.includes(step)));
      this.#unannounced = true;
    }
    if (!this.#unannounced || this.#routed === undefined || this.#routed.index === INTX) return;
    this.#unannounced = false;
    for (const vector of this.#routed.vectors) this.#host?.message(vector);
    this.interrupts++;
  }

  #route({ index, start, count, flags }: IrqRequest): void {
    if ((flags & IRQ_ACTION_TRIGGER) === 0) return;
    const length = (flags & IRQ_DATA_EVENTFD) === 0 ? 0 : Math.min(count, VECTORS_MOST);
    this.#routed = { index, vectors: Array.from({ length }, (_, i) => start + i) };
  }

  /** False: it is to be tried again. */
  #act(step: DmaStep | InterruptStep | MapStep): boolean {
    switch (step.what) {
      case 'map':
        this.#memory.map(step.space, step.iova, step.size);
        return true;
      case 'unmap':
        this.#memory.unmap(step.space, step.iova, step.size);
        return true;
      case 'interrupt':
        this.#interrupt(step);
        return true;
      case 'dma':
        return this.#dma(step);
    }
  }

  #interrupt({ index, vector, level }: InterruptStep): void {
    this.#unannounced = false;
    if (index === INTX) {
      this.#host?.intx(level);
      if (level) this.interrupts++;
      return;
    }
    this.#host?.message(vector);
    this.interrupts++;
  }

  #dma(step: DmaStep): boolean {
    const host = this.#host;
    if (host === undefined) return true;
    this.#isCompared ||= step.how !== 'seen';
    if (step.op === 'held') {
      this.#compared.reach(step);
      return true;
    }
    this.#memory.look(host.windows);
    const parts =
      step.op === 'write' && step.how !== 'seen'
        ? this.#compared.written(step)
        : [{ from: 0, length: step.bytes.length }];
    for (const { from, length } of parts) {
      const pieces = this.#memory.locate(step.space, step.iova + BigInt(from), length);
      const bytes = step.bytes.subarray(from, from + length);
      if (typeof pieces === 'string') this.#depart('unmapped', step, pieces);
      else if (step.op !== 'write') return this.#compare(host, step, pieces);
      else this.#write(host, step, bytes, pieces);
    }
    return true;
  }

  #write(host: Host, step: DmaStep, all: Uint8Array, pieces: readonly LivePiece[]): void {
    for (const { iova, from, length } of pieces) {
      const bytes = all.subarray(from, from + length);
      // What tells a driver that all of it is there stands last.
      const last = length % 4 === 0 && length > 4 ? length - 4 : length;
      const written =
        host.dmaWrite(iova, bytes.subarray(0, last)) &&
        (last === length || host.dmaWrite(iova + BigInt(last), bytes.subarray(last)));
      if (!written) this.#depart('unmapped', step, `0x${iova.toString(16)} can't be written`);
    }
    this.dmaBytes += all.length;
    this.#unannounced = true;
  }

  #compare(host: Host, step: DmaStep, pieces: readonly LivePiece[]): boolean {
    const seen = new Uint8Array(step.bytes.length);
    const readable = pieces.every(({ iova, from, length }) =>
      host.dmaRead(iova, seen.subarray(from, from + length)),
    );
    const isSame =
      step.how === 'seen'
        ? this.#memory.sameBytes(step.bytes, seen)
        : this.#memory.sameContents(step.bytes, seen);
    if (readable && isSame) {
      this.#waiting = undefined;
      this.dmaBytes += seen.length;
      return true;
    }
    const since = this.#waiting?.step === step ? this.#waiting.since : Date.now();
    if (Date.now() - since < PATIENCE_MS) {
      this.#waiting = { step, since };
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#play(), RETRY_MS);
      return false;
    }
    this.#waiting = undefined;
    this.#depart('memory', step, differenceText(step, seen));
    return true;
  }

  #memoryDiffers(step: DmaStep): void {
    this.#waiting = undefined;
    this.#depart('memory', step, 'the memory was otherwise to the end');
  }

  #depart(kind: DepartureKind, expected: Step | undefined, got: string): void {
    if (this.#stopped) return;
    const kept = this.departures.length < DEPARTURES_KEPT;
    const site = kept ? this.#options.site() : undefined;
    const departure = {
      kind,
      bdf: this.#options.bdf,
      event: expected?.event,
      got,
      ...(site !== undefined && { site }),
    };
    this.departed++;
    if (kept) this.departures.push(departure);
    this.#options.depart(departure);
  }
}

const CONFIG = 7;
const INTX = 0;
const SHOWN = 16;

function differenceText({ iova, bytes }: DmaStep, seen: Uint8Array): string {
  const at = bytes.findIndex((byte, i) => byte !== seen[i]);
  const hex = (part: Uint8Array): string => Buffer.from(part.subarray(at, at + SHOWN)).toString('hex');
  return `memory at 0x${(iova + BigInt(at)).toString(16)} holds ${hex(seen)}, in the recording ${hex(bytes)}`;
}
