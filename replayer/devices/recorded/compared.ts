// SPDX-License-Identifier: Apache-2.0
/**
 * Memory of a recording on hardware, where nobody saw the device's accesses: it was compared before the driver's stores
 * (recorder/shim/dma), so what the driver had written by then is known, and not what of it the device read. It is held
 * against the driver's memory of today at the same store.
 */
import type { Host } from '../device.js';
import type { LivePiece, RecordedMemory } from './memory.js';
import type { DmaStep, Step } from './script.js';

const WORD = 8;
/** Of a cache, and of an NVMe command: what is written there is written for one purpose. */
const LINE = 64n;

export type Fill = DmaStep & { readonly op: 'fill' };

/** What the driver wrote: it is checked when the driver stores. */
export function isFill(step: Step): step is Fill {
  return step.what === 'dma' && step.op === 'fill';
}

function wholeLines(fill: Fill): Fill {
  const iova = fill.iova - (fill.iova % LINE);
  const end = fill.iova + BigInt(fill.bytes.length);
  const length = Number((end - iova + LINE - 1n) / LINE) * Number(LINE);
  return { ...fill, iova, bytes: new Uint8Array(length) };
}

export class ComparedMemory {
  readonly #memory: RecordedMemory;
  readonly #host: () => Host | undefined;
  /** Of each step that the script has come to, what was there before it. */
  readonly #before = new WeakMap<DmaStep, Uint8Array>();

  constructor(memory: RecordedMemory, host: () => Host | undefined) {
    this.#memory = memory;
    this.#host = host;
  }

  /** The script has come to it: the recorded memory is as it was then. */
  reach(step: DmaStep): void {
    if (this.#before.has(step)) return;
    const before = this.#memory.remember(step.space, step.iova, step.bytes);
    if (before !== undefined) this.#before.set(step, before);
    if (isFill(step)) this.#memory.ownPointers(step.space, step.iova, step.bytes);
  }

  /**
   * At the store before which they were found: are they there? What may have been the device's after all, and was not touched
   * by the driver, the device writes now. Answers what is waited for.
   */
  unsettled(fills: readonly Fill[]): readonly DmaStep[] {
    for (const fill of fills) this.reach(fill);
    const wanted = fills.flatMap((fill) => this.#unsettled(fill) ?? []);
    // A command's words that were what they are now did not change: they count, too.
    return wanted.length > 0 ? wanted : fills.flatMap((fill) => this.#unsettled(wholeLines(fill)) ?? []);
  }

  #unsettled(step: Fill): DmaStep | undefined {
    const expected = this.#memory.recall(step.space, step.iova, step.bytes.length);
    // It was unmapped since; or it is what any program does with its memory, and another one in each run.
    if (expected === undefined || this.#memory.isOwn(step.space, step.iova)) return undefined;
    const wanted: DmaStep = { ...step, op: 'read', bytes: expected };
    const seen = this.#read(step);
    if (seen === undefined) return wanted;
    if (this.#memory.sameContents(expected, seen)) return undefined;
    return this.#give(step, expected, seen) ? undefined : wanted;
  }

  /** The driver has been idle: it may wait for what was taken for its own. True when something was written. */
  giveUntouched(step: Fill): boolean {
    if (step.how !== 'ambiguous' || this.#memory.isOwn(step.space, step.iova)) return false;
    const seen = this.#read(step);
    return (
      seen !== undefined && !this.#memory.sameContents(step.bytes, seen) && this.#give(step, step.bytes, seen)
    );
  }

  #give(step: Fill, bytes: Uint8Array, seen: Uint8Array): boolean {
    const before = this.#before.get(step);
    const pieces = this.#pieces(step);
    const isUntouched = before !== undefined && this.#memory.sameContents(before, seen);
    if (step.how !== 'ambiguous' || !isUntouched || pieces === undefined) return false;
    for (const { iova, from, length } of pieces)
      this.#host()?.dmaWrite(iova, bytes.subarray(from, from + length));
    return true;
  }

  /**
   * What the device wrote, in words. What may have been the driver's own is not written over what the driver of today has
   * put there.
   */
  written(step: DmaStep): readonly { readonly from: number; readonly length: number }[] {
    this.reach(step);
    const before = this.#before.get(step);
    if (step.how === 'ambiguous' && this.#memory.isOwn(step.space, step.iova)) return [];
    const seen = step.how === 'ambiguous' ? this.#read(step) : undefined;
    if (before === undefined || seen === undefined) return [{ from: 0, length: step.bytes.length }];
    const parts: { from: number; length: number }[] = [];
    for (let from = 0; from < seen.length; from += WORD) {
      const length = Math.min(WORD, seen.length - from);
      const end = from + length;
      if (!this.#memory.sameContents(before.subarray(from, end), seen.subarray(from, end))) continue;
      const last = parts.at(-1);
      if (last !== undefined && last.from + last.length === from) last.length += length;
      else parts.push({ from, length });
    }
    return parts;
  }

  #pieces(step: DmaStep): readonly LivePiece[] | undefined {
    this.#memory.look(this.#host()?.windows ?? []);
    const pieces = this.#memory.locate(step.space, step.iova, step.bytes.length);
    return typeof pieces === 'string' ? undefined : pieces;
  }

  #read(step: DmaStep): Uint8Array | undefined {
    const seen = new Uint8Array(step.bytes.length);
    const host = this.#host();
    const pieces = this.#pieces(step);
    const isThere =
      host !== undefined &&
      pieces?.every(({ iova, from, length }) => host.dmaRead(iova, seen.subarray(from, from + length)));
    return isThere === true ? seen : undefined;
  }
}
