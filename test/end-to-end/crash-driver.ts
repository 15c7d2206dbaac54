// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { EventFlag, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';

// What drivers/crash.c leaves behind: its own counts of what has completed, and a sequence of writes in the trace.

/** 0 and 1: the threads; 2: a child; 3: the image after exec. */
export const SLOTS = 4;

/** The file of counts, all zero. */
export function makeCounts(path: string): string {
  writeFileSync(path, new Uint8Array(4096));
  return path;
}

/** What each slot has completed so far. */
export function counted(path: string): readonly number[] {
  const counts = readFileSync(path);
  return Array.from({ length: SLOTS }, (_, slot) => Number(counts.readBigUInt64LE(slot * 64)));
}

export interface Sequences {
  /** Per slot, how far the sequence 0, 1, 2, … goes in the trace. */
  readonly recorded: readonly number[];
  /** Events that the trace says were lost. */
  readonly lost: number;
  readonly damages: number;
}

/** Follows each slot's sequence through the trace and fails at a gap, a repetition or a wrong order. */
export function readSequences(path: string): Sequences {
  const trace = openTrace(path);
  const recorded = new Array<number>(SLOTS).fill(0);
  for (const event of trace.events({ kinds: [EventKind.WRITE] })) {
    // The call that its thread was in when all ended: it may or may not have reached the device.
    if (event.kind !== EventKind.WRITE || (event.flags & EventFlag.INTENT) !== 0 || event.result !== 8n)
      continue;
    const slot = Number(event.offset) / 8;
    assert.equal(
      Number(event.value),
      recorded[slot],
      `slot ${slot}: event ${event.number} is not the next one`,
    );
    recorded[slot] = (recorded[slot] ?? 0) + 1;
  }
  const lost = (trace.summary?.losses ?? []).reduce((sum, loss) => sum + loss.events, 0);
  const damages = trace.damages.length;
  trace.close();
  return { recorded, lost, damages };
}
