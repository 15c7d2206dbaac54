// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import type { ClockPair, TraceClock } from '../../traces/model.js';

const PAIRS_MAX = 1024;

/** Ties ticks to CLOCK_MONOTONIC and CLOCK_REALTIME by the pairs that the shims take. */
export class RecordingClock {
  readonly source: 'tsc' | 'monotonic';
  private readonly guess: number;
  private base: bigint | undefined;
  private pairs: ClockPair[] = [];
  private stride = 1;
  private skipped = 0;
  private last: ClockPair | undefined;

  constructor(source: 'tsc' | 'monotonic', ticksPerSecond: number) {
    this.source = source;
    this.guess = source === 'monotonic' ? 1e9 : ticksPerSecond;
  }

  get baseTicks(): bigint | undefined {
    return this.base;
  }

  setBase(ticks: bigint): void {
    this.base ??= ticks;
  }

  add(ticks: bigint, monotonicNs: bigint, realtimeNs: bigint): void {
    this.setBase(ticks);
    const pair = { ticks: ticks - (this.base ?? 0n), monotonicNs, realtimeNs };
    if (pair.ticks < 0n) return;
    if (this.last === undefined || pair.ticks > this.last.ticks) this.last = pair;
    this.skipped += 1;
    if (this.skipped < this.stride) return;
    this.skipped = 0;
    this.pairs.push(pair);
    if (this.pairs.length > PAIRS_MAX) {
      this.pairs = this.pairs.filter((_, n) => n % 2 === 0);
      this.stride *= 2;
    }
  }

  ticksPerSecond(): number {
    if (this.source === 'monotonic') return 1e9;
    const first = this.pairs[0];
    const last = this.last;
    if (first === undefined || last === undefined) return this.guess;
    const ns = Number(last.monotonicNs - first.monotonicNs);
    const ticks = Number(last.ticks - first.ticks);
    // A pair is good to some 100 ns; nearer together than this it says less than the processor's nominal frequency.
    if (ns < 1e6 || ticks <= 0) return this.guess;
    return (ticks * 1e9) / ns;
  }

  describe(): TraceClock {
    const ticksPerSecond = this.ticksPerSecond();
    const first = this.pairs[0];
    const before =
      first === undefined ? 0n : BigInt(Math.round((Number(first.ticks) * 1e9) / ticksPerSecond));
    const pairs = [...this.pairs];
    if (this.last !== undefined && pairs.at(-1) !== this.last) pairs.push(this.last);
    return {
      source: this.source,
      ticksPerSecond,
      baseTicks: this.base ?? 0n,
      baseMonotonicNs: first === undefined ? process.hrtime.bigint() : first.monotonicNs - before,
      baseRealtimeNs: first === undefined ? BigInt(Date.now()) * 1_000_000n : first.realtimeNs - before,
      pairs: pairs.sort((a, b) => (a.ticks < b.ticks ? -1 : 1)),
    };
  }
}

export interface ClockChoice {
  readonly source: 'tsc' | 'monotonic';
  /** The processor's nominal frequency: what there is until two pairs have been taken. */
  readonly ticksPerSecond: number;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** A clock that programs other than the shim can read as well. */
export const MONOTONIC: ClockChoice = { source: 'monotonic', ticksPerSecond: 1e9 };

/** rdtsc where it counts at one rate in all states of the processor, else CLOCK_MONOTONIC at some 20 ns more a stamp. */
export function chooseClock(): ClockChoice {
  const cpu = textOf('/proc/cpuinfo');
  const flags = new Set((/^flags\s*:(.*)$/m.exec(cpu)?.[1] ?? '').trim().split(/\s+/));
  const clocksource = textOf('/sys/devices/system/clocksource/clocksource0/current_clocksource').trim();
  const steady = flags.has('constant_tsc') || clocksource === 'tsc';
  if (!steady) return MONOTONIC;
  const nominal = /^model name.*@\s*([\d.]+)\s*GHz/m.exec(cpu)?.[1];
  const current = /^cpu MHz\s*:\s*([\d.]+)/m.exec(cpu)?.[1];
  const hertz =
    nominal !== undefined ? Number(nominal) * 1e9 : current !== undefined ? Number(current) * 1e6 : 1e9;
  return { source: 'tsc', ticksPerSecond: hertz > 0 ? hertz : 1e9 };
}
