// SPDX-License-Identifier: Apache-2.0
/** Interrupts by vector, as far as the driver sees them: wake-ups, reads of the eventfd, and how many signals each read took. */
import type { InterruptRoute } from '../../session/interrupts.js';
import { NEVER } from './chains.js';
import { Histogram } from './histogram.js';

export interface VectorCounts {
  readonly route: InterruptRoute;
  wakes: number;
  reads: number;
  /** The sum of what the reads got: eventfds count. */
  signals: number;
  largest: number;
  /** Wake-ups after which the eventfd was not read before the next one. */
  unread: number;
  pending: boolean;
  /** From one read to the next, ns. */
  readonly gaps: Histogram;
  /** ns */
  lastRead: number;
  inKernel: boolean;
}

/** A device has at most 2048 MSI-X vectors (PCI 3.0 §6.8.2.3). */
const VECTORS_MAX = 1 << 14;

export class Interrupts {
  readonly vectors = new Map<string, VectorCounts>();

  of(route: InterruptRoute): VectorCounts | undefined {
    const key = `${route.device} ${route.index} ${route.vector} ${route.role}`;
    const known = this.vectors.get(key);
    if (known !== undefined || this.vectors.size >= VECTORS_MAX) return known;
    const vector: VectorCounts = {
      route,
      wakes: 0,
      reads: 0,
      signals: 0,
      largest: 0,
      unread: 0,
      pending: false,
      gaps: new Histogram(),
      lastRead: NEVER,
      inKernel: false,
    };
    this.vectors.set(key, vector);
    return vector;
  }
}

export function countWake(vector: VectorCounts): void {
  if (vector.pending) vector.unread++;
  vector.pending = true;
  vector.wakes++;
}

/** `time`: ns, when the read was done. */
export function countRead(vector: VectorCounts, signals: number, time: number): void {
  vector.pending = false;
  vector.reads++;
  vector.signals += signals;
  if (signals > vector.largest) vector.largest = signals;
  if (vector.lastRead >= 0) vector.gaps.add(Math.max(0, Math.round(time - vector.lastRead)));
  vector.lastRead = time;
}
