// SPDX-License-Identifier: Apache-2.0
/** The device's part in the driver's memory: what it read is compared with what is there, what it wrote is written. */
import type { Host, Width } from '../device.js';
import { ComparedMemory } from './compared.js';
import type { DepartureKind } from './departure.js';
import { type LivePiece, RecordedMemory } from './memory.js';
import type { DmaStep, MapStep } from './script.js';

/** How long memory may be otherwise than recorded: a driver may write it after its doorbell, as virtio's do. */
const PATIENCE_MS = 1000;
const RETRY_MS = 2;
const SHOWN = 16;

export interface PlayedMemoryOptions {
  readonly depart: (kind: DepartureKind, step: DmaStep, got: string) => void;
  /** Memory was not as it should be: it is time to look once more. */
  readonly again: () => void;
}

export class PlayedMemory {
  readonly compared: ComparedMemory;
  /** Bytes that were moved. */
  bytes = 0;
  /** Of a recording on hardware: interrupts are known by the driver's wake-ups only. */
  isCompared = false;
  readonly #options: PlayedMemoryOptions;
  readonly #memory = new RecordedMemory();
  #host: Host | undefined;
  /** The device waits for the driver's memory to be as it was. */
  #waiting: { readonly step: DmaStep; readonly since: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PlayedMemoryOptions) {
    this.#options = options;
    this.compared = new ComparedMemory(this.#memory, () => this.#host);
  }

  attach(host: Host): void {
    this.#host = host;
  }

  mapped({ what, space, iova, size }: MapStep): void {
    if (what === 'map') this.#memory.map(space, iova, size);
    else this.#memory.unmap(space, iova, size);
  }

  /** Of two numbers that differ, both may be addresses of the same memory. */
  sameNumber(recorded: bigint, seen: bigint, width: Width): boolean {
    if (recorded === seen) return true;
    this.#memory.look(this.#host?.windows ?? []);
    return this.#memory.sameNumber(recorded, seen, width);
  }

  /** `waits`: it is to be tried again; `wrote`: there is something new for the driver. */
  transfer(step: DmaStep): 'done' | 'wrote' | 'waits' {
    const host = this.#host;
    if (host === undefined) return 'done';
    this.isCompared ||= step.how !== 'seen';
    if (step.op === 'held') {
      this.compared.reach(step);
      return 'done';
    }
    this.#memory.look(host.windows);
    const parts =
      step.op === 'write' && step.how !== 'seen'
        ? this.compared.written(step)
        : [{ from: 0, length: step.bytes.length }];
    let wrote = false;
    for (const { from, length } of parts) {
      const pieces = this.#memory.locate(step.space, step.iova + BigInt(from), length);
      if (typeof pieces === 'string') this.#options.depart('unmapped', step, pieces);
      else if (step.op !== 'write') return this.#compare(host, step, pieces) ? 'done' : 'waits';
      else {
        this.#write(host, step, step.bytes.subarray(from, from + length), pieces);
        wrote = true;
      }
    }
    return wrote ? 'wrote' : 'done';
  }

  /** The driver has ended. */
  finish(): void {
    clearTimeout(this.#timer);
    if (this.#waiting === undefined) return;
    const { step } = this.#waiting;
    this.#waiting = undefined;
    this.#options.depart('memory', step, 'the memory was otherwise to the end');
  }

  #write(host: Host, step: DmaStep, all: Uint8Array, pieces: readonly LivePiece[]): void {
    for (const { iova, from, length } of pieces) {
      const bytes = all.subarray(from, from + length);
      // What tells a driver that all of it is there stands last.
      const last = length % 4 === 0 && length > 4 ? length - 4 : length;
      const written =
        host.dmaWrite(iova, bytes.subarray(0, last)) &&
        (last === length || host.dmaWrite(iova + BigInt(last), bytes.subarray(last)));
      if (!written) this.#options.depart('unmapped', step, `0x${iova.toString(16)} can't be written`);
    }
    this.bytes += all.length;
  }

  /** False: not yet. */
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
      this.bytes += seen.length;
      return true;
    }
    const since = this.#waiting?.step === step ? this.#waiting.since : Date.now();
    if (Date.now() - since < PATIENCE_MS) {
      this.#waiting = { step, since };
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#options.again, RETRY_MS);
      return false;
    }
    this.#waiting = undefined;
    this.#options.depart('memory', step, differenceText(step, seen));
    return true;
  }
}

function differenceText({ iova, bytes }: DmaStep, seen: Uint8Array): string {
  const at = bytes.findIndex((byte, i) => byte !== seen[i]);
  const hex = (part: Uint8Array): string => Buffer.from(part.subarray(at, at + SHOWN)).toString('hex');
  return `memory at 0x${(iova + BigInt(at)).toString(16)} holds ${hex(seen)}, in the recording ${hex(bytes)}`;
}
