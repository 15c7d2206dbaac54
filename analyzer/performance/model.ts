// SPDX-License-Identifier: Apache-2.0
/** What `stats --json` prints (docs/stats-json.md), what the text is made from, and what budgets set limits on. */
import type { Phase } from '../../session/phases/phase.js';

/** All but `timed` in ns. */
export interface Latency {
  /** Events that have a duration: an access that is recorded with one stamp has none. */
  readonly timed: number;
  readonly min_ns: number;
  readonly p50_ns: number;
  readonly p90_ns: number;
  readonly p99_ns: number;
  readonly p999_ns: number;
  readonly max_ns: number;
  readonly mean_ns: number;
  readonly total_ns: number;
}

/** One line of a table: the keys before `count` say what was added up, those that a table does not tell apart are left out. */
export interface Series {
  readonly phase?: Phase;
  readonly thread?: string;
  readonly site?: string;
  readonly object?: string;
  readonly bdf?: string;
  readonly register?: string;
  readonly operation: string;
  readonly count: number;
  /** Of them, those that failed. */
  readonly failed: number;
  readonly rate_per_s: number;
  readonly latency: Latency | null;
}

export interface PhaseTime {
  readonly object: string;
  readonly bdf: string;
  readonly phase: Phase;
  readonly from_ns: number;
  readonly duration_ns: number;
}

export interface OpeningTime {
  readonly object: string;
  readonly bdf: string;
  readonly opened_ns: number;
  /** From there to the first doorbell of a queue for I/O; null: none was rung, or the registers are not known. */
  readonly to_ready_ns: number | null;
  readonly ready_by: string;
}

export interface ResetReport {
  readonly object: string;
  readonly bdf: string;
  readonly operation: string;
  readonly at_ns: number;
  readonly duration_ns: number;
  readonly ok: boolean;
}

export interface MappingReport {
  readonly object: string;
  readonly operation: string;
  readonly calls: number;
  readonly failed: number;
  readonly bytes: number;
  readonly total_ns: number;
  readonly ns_per_mib: number;
}

export interface VectorReport {
  readonly object: string;
  readonly bdf: string;
  readonly vector: string;
  /** The driver sees none of it: KVM takes the interrupts. */
  readonly in_kernel: boolean;
  readonly wakes: number;
  readonly reads: number;
  readonly signals: number;
  readonly signals_per_read: number;
  readonly largest: number;
  readonly unread_wakes: number;
  readonly rate_per_s: number;
  readonly gap: Latency | null;
}

export interface QueueReport {
  readonly object: string;
  readonly bdf: string;
  readonly queue: string;
  readonly doorbells: number;
  readonly completions: number;
  readonly woken: number;
  readonly doorbell_to_wake: Latency | null;
  readonly wake_to_read: Latency | null;
  readonly read_to_completion: Latency | null;
  readonly doorbell_to_completion: Latency | null;
}

/** How far the recording itself bent what it measured. */
export interface Perturbation {
  readonly mmio: string;
  readonly backend: string;
  /** What one recorded event costs the driver, ns of CPU time, by how it was caught. */
  readonly costs: readonly {
    readonly how: string;
    readonly events: number;
    /** As `npm run bench` measured it; null: it was not. */
    readonly each_ns: number | null;
    readonly total_ns: number | null;
  }[];
  /** All of them, as part of the time that was recorded. */
  readonly share: number;
  /** The smallest time between two patched accesses of one thread in this trace; null: there are none. */
  readonly smallest_gap_ns: number | null;
  /** The driver's threads waited for the recorder. */
  readonly waits: number;
  readonly waited_ns: number;
  readonly lost_events: number;
  readonly damaged: number;
  /** Accesses whose instruction was not patched, most first: their timing is mostly the recorder's. */
  readonly unpatched_sites: readonly {
    readonly site: string;
    readonly how: string;
    readonly why: string;
    readonly count: number;
  }[];
}

export interface Statistics {
  /** Grows when a key changes its meaning or goes. */
  readonly schema: 1;
  readonly trace: {
    readonly file: string;
    readonly events: number;
    readonly from_ns: number;
    readonly duration_ns: number;
  };
  /** Quantiles are off by at most this part of their value; everything else is exact. */
  readonly quantile_error: number;
  readonly phases: readonly PhaseTime[];
  readonly operations: readonly Series[];
  readonly objects: readonly Series[];
  readonly registers: readonly Series[];
  readonly sites: readonly Series[];
  readonly threads: readonly Series[];
  readonly by_phase: readonly Series[];
  /** Series that were counted without register and call site, since there were too many. */
  readonly folded_series: number;
  readonly openings: readonly OpeningTime[];
  readonly resets: readonly ResetReport[];
  readonly mappings: readonly MappingReport[];
  readonly interrupts: readonly VectorReport[];
  readonly queues: readonly QueueReport[];
  readonly perturbation: Perturbation;
}
