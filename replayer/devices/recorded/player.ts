// SPDX-License-Identifier: Apache-2.0
/**
 * Plays the device's part of a recording. What the driver writes is held against the script, and each write that fits
 * lets the device do what it did after it; what the driver reads is answered in the recorded order, then by the last
 * value, so that a driver may poll more or less often than it did.
 */
import type { DriverWatch, Host, IrqRequest, Width } from '../device.js';
import { littleEndian } from './accesses.js';
import { isFill } from './compared.js';
import type { Departure, DepartureKind, DriverSite } from './departure.js';
import { PlayedMemory } from './played-memory.js';
import type { DmaStep, InterruptStep, MapStep, Step } from './script.js';
import { DEPARTED, LENIENT, STRICT, StallWatch } from './stall.js';
import { type Answer, type Gate, isAnswer, isGate, keyOf, OVERTAKEN_MOST, ScriptWindow } from './window.js';

const CONFIG = 7;
const INTX = 0;
const DEPARTURES_KEPT = 1000;
const REGISTERS_MOST = 1 << 20;
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

export class Player implements DriverWatch {
  readonly departures: Departure[] = [];
  departed = 0;
  writes = 0;
  reads = 0;
  interrupts = 0;
  readonly #options: PlayerOptions;
  readonly #script: ScriptWindow;
  readonly #memory: PlayedMemory;
  readonly #stall: StallWatch;
  readonly #last = new Map<string, bigint | Uint8Array>();
  #host: Host | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** The device wrote memory, and has not interrupted since. */
  #unannounced = false;
  /** When the last step was made that the driver had a part in, in the recording's time, ns. */
  #lastTime = 0;
  /** What the driver has asked interrupts for. */
  #routed: { readonly index: number; readonly vectors: readonly number[] } | undefined;

  constructor(options: PlayerOptions) {
    this.#options = options;
    this.#script = new ScriptWindow(options.script);
    this.#memory = new PlayedMemory({
      depart: (kind, step, got) => this.#depart(kind, step, got),
      again: () => this.#play(),
    });
    this.#stall = new StallWatch({
      limits: () => (options.stops ? STRICT : this.departed > 0 ? DEPARTED : LENIENT),
      awaits: () => this.#awaits(),
      recordedMs: () => {
        const { next } = this.#script;
        return next === undefined ? undefined : Math.max(0, next.time - this.#lastTime) / 1e6;
      },
      stuck: (got, again) => this.#stuck(got, again),
    });
  }

  attach(host: Host): void {
    this.#host = host;
    this.#memory.attach(host);
  }

  get dmaBytes(): number {
    return this.#memory.bytes;
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
      this.#script.next,
      `load ${this.#options.text(region, offset, width, 0n).replace(/ = .*/, '')}`,
    );
    // As good as any: what it will be later on.
    return this.#script.laterValue(key) ?? (1n << BigInt(8 * width)) - 1n;
  }

  write(region: number, offset: number, width: Width, value: bigint): void {
    const masked = this.#options.masked(region, offset, width);
    this.#gate(
      `${region}+${offset}/${width}`,
      (step) =>
        step.what === 'write' &&
        (step.value === undefined || this.#memory.sameNumber(step.value & ~masked, value & ~masked, width)),
      () => `store ${this.#options.text(region, offset, width, value)}`,
    );
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
    this.#play();
    clearTimeout(this.#idle);
    this.#stall.stop();
    this.#memory.finish();
    if (this.#stopped) return;
    const { first, count } = this.#script.drain();
    if (first !== undefined)
      this.#depart('missing', first, `the driver ended; ${count} of its recorded writes did not come`);
  }

  get #stopped(): boolean {
    return this.#options.stops && this.departed > 0;
  }

  // --- the driver's part -------------------------------------------------------------------------------------

  #answer(key: string): Answer | undefined {
    const step = this.#script.takeAnswer(key);
    if (step === undefined) return undefined;
    this.#remember(step);
    this.reads++;
    this.#lastTime = step.time;
    this.#stall.progress();
    return step;
  }

  #remember(step: Answer): void {
    const key = keyOf(step);
    if (this.#last.size < REGISTERS_MOST || this.#last.has(key))
      this.#last.set(key, step.what === 'read' ? step.value : step.bytes);
  }

  #gate(key: string, fits: (step: Gate) => boolean, got: () => string): void {
    this.#play();
    this.#script.fill();
    this.#stall.progress();
    // Device steps that are still to come must not keep the driver's own order from being seen.
    const { gates } = this.#script;
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
    for (const step of gates.slice(0, gates.indexOf(later))) this.#script.remove(step);
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
    const before = this.#script.before(gate).filter(({ thread }) => thread === gate.thread);
    // What its thread read before it will not be read any more; it is what was known last.
    const passed = before.filter(isAnswer);
    for (const step of passed) this.#remember(step);
    const fills = before.filter(isFill);
    this.#script.removeAll([...passed, ...fills]);
    this.#script.remove(gate);
    // What it had written for the device by then is to be there, or is waited for.
    this.#script.putFirst(this.#memory.compared.unsettled(fills));
    // After the access has been answered: a doorbell does not wait for its command.
    this.#host?.defer(() => this.#play());
  }

  /** A silent driver that has what it needs to be called. */
  #awaits(): boolean {
    const host = this.#host;
    const isOver = this.#options.stops && this.#script.next === undefined;
    return host !== undefined && !isOver && (host.messages !== 'none' || host.windows.length > 0);
  }

  /** What comes after the next recorded write may be what it waits for. */
  #stuck(got: string, again: boolean): void {
    this.#script.fill();
    const { next } = this.#script;
    if (!again) this.#depart('waits', next, got);
    if (this.#stopped) return;
    if (next === undefined) this.#options.exhausted();
    else this.#leave(next);
  }

  // --- the device's part ---------------------------------------------------------------------------------------

  /** What the device did before the next write of the driver. */
  #play(): void {
    if (this.#stopped) return;
    this.#script.fill();
    for (let i = 0; i < this.#script.steps.length && !this.#stopped; ) {
      const step = this.#script.steps[i] as Step;
      if (isGate(step)) {
        this.#announceWhenIdle();
        return;
      }
      if (isFill(step)) this.#memory.compared.reach(step);
      if (isAnswer(step) || isFill(step)) {
        i++;
        continue;
      }
      if (!this.#act(step as DmaStep | InterruptStep | MapStep)) return;
      this.#script.remove(step);
      this.#script.fill();
    }
  }

  /**
   * A driver that found a completion by itself may have written before its interrupt came; this time it may wait for
   * the interrupt.
   */
  #announceWhenIdle(): void {
    clearTimeout(this.#idle);
    if (this.#memory.isCompared) {
      this.#idle = setTimeout(() => this.#whenIdle(), IDLE_MS);
      return;
    }
    if (!this.#unannounced) return;
    const next = this.#script.steps.find(({ what }) => what === 'dma' || what === 'interrupt');
    if (next?.what !== 'interrupt') return;
    this.#idle = setTimeout(() => {
      if (this.#stopped || !this.#script.has(next)) return;
      this.#script.remove(next);
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
    const { next } = this.#script;
    const fills = (next === undefined ? this.#script.steps : this.#script.before(next)).filter(isFill);
    const given = fills.filter((fill) => this.#memory.compared.giveUntouched(fill));
    this.#script.removeAll(given);
    if (given.length > 0) this.#unannounced = true;
    if (!this.#unannounced) return;
    const coming = this.#script.steps.find(({ what }) => what === 'dma' || what === 'interrupt');
    if (coming?.what === 'interrupt') {
      this.#script.remove(coming);
      this.#interrupt(coming);
      this.#play();
    } else this.#idle = setTimeout(() => this.#raiseAll(), IDLE_MS);
  }

  #raiseAll(): void {
    if (this.#stopped || this.#routed === undefined || this.#routed.index === INTX) return;
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
      case 'unmap':
        this.#memory.mapped(step);
        return true;
      case 'interrupt':
        this.#interrupt(step);
        return true;
      case 'dma': {
        const outcome = this.#memory.transfer(step);
        if (outcome === 'wrote') this.#unannounced = true;
        return outcome !== 'waits';
      }
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
