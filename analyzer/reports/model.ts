// SPDX-License-Identifier: Apache-2.0
/** What every form of a report is made from; `check --json` is this as it stands (docs/check-json.md). */
import type { RuleStatus } from '../check/finding.js';
import type { Profile, Severity } from '../check/rule.js';

export interface ReportedEvent {
  readonly event: number;
  /** What it shows. */
  readonly note: string;
  readonly time_ns: number;
  /** Decoded, as `dump` has it; empty when the event could not be read. */
  readonly text: string;
  readonly site?: string;
  readonly source?: { readonly file: string; readonly line: number };
}

export interface ReportedFinding {
  readonly rule: string;
  readonly title: string;
  readonly severity: Severity;
  /** `device0`; empty: the session as a whole. */
  readonly object: string;
  readonly bdf: string;
  readonly message: string;
  readonly compliant: string;
  readonly count: number;
  readonly fingerprint: string;
  readonly evidence: readonly ReportedEvent[];
  /** Whether it counts for the verdict. */
  readonly state: 'new' | 'known' | 'waived';
  /** The waiver's reason. */
  readonly waived_because?: string;
}

export interface ReportedRule {
  readonly id: string;
  readonly title: string;
  readonly severity: Severity;
  readonly status: RuleStatus;
  /** Why it is unknown or undecidable. */
  readonly reasons: readonly string[];
  /** Different findings that were counted only. */
  readonly suppressed: number;
}

/** Part of a BAR. */
export interface ReportedStructure {
  readonly bar: number;
  readonly offset: number;
  readonly bytes: number;
  /** It begins at a page of 4 KiB (PCIe 5.0 §7.7.2). */
  readonly page_aligned: boolean;
}

/** One device, however often it was opened. */
export interface ReportedDevice {
  readonly object: string;
  readonly bdf: string;
  readonly vendor: number;
  readonly device: number;
  readonly subsystem_vendor: number;
  readonly subsystem_device: number;
  readonly class_code: number;
  readonly revision: number;
  readonly kernel_driver: string;
  readonly iommu_group: string;
  /** As sysfs has it: `flr bus`. */
  readonly reset_method: string;
  /** Of BARs that it has; exact, `0x4000`. */
  readonly bars: readonly { readonly name: string; readonly size: string }[];
  /** Absent: it has no MSI-X capability, or its registers were never seen. */
  readonly msix?: {
    readonly vectors: number;
    readonly table: ReportedStructure;
    readonly pba: ReportedStructure;
  };
  readonly opens: number;
  /** How it was reset, in order: `at open`, `VFIO_DEVICE_RESET`, `FLR`. */
  readonly resets: readonly string[];
  /** Its MSI-X table and PBA have pages of their own (MSI-006). */
  readonly well_behaved: 'yes' | 'no' | 'no MSI-X' | 'unknown';
}

export interface SeverityCounts {
  readonly error: number;
  readonly warning: number;
  readonly note: number;
}

/** One trace's. */
export interface TraceReport {
  readonly trace: {
    readonly file: string;
    readonly command: readonly string[];
    readonly recorder: string;
    readonly recorded_at_ns: string;
    readonly duration_ns: number;
    readonly events: number;
    readonly host: string;
    readonly kernel: string;
    readonly backend: string;
    readonly dialect: string;
    readonly mmio: string;
    readonly dma: string;
    readonly when_full: string;
    /** Parts of BARs that alone were watched; none: all of them. */
    readonly watch: readonly string[];
    readonly events_by_kind: Readonly<Record<string, number>>;
    /** How the instructions that touch mapped BARs were caught, and some of those that were not caught in the best way. */
    readonly mmio_sites: readonly {
      readonly how: string;
      /** Empty: it is the best way. */
      readonly reason: string;
      readonly instructions: number;
      readonly places: readonly string[];
    }[];
    /** What is missing or doubtful, in words; none: the trace is complete. */
    readonly gaps: readonly string[];
  };
  readonly profile: Profile;
  readonly devices: readonly ReportedDevice[];
  /** New findings; those waived or known before are not in it. */
  readonly counts: SeverityCounts;
  readonly waived: number;
  readonly known: number;
  readonly rules: readonly ReportedRule[];
  /** Errors first. */
  readonly findings: readonly ReportedFinding[];
}

export interface ComplianceReport {
  /** Grows when a key changes its meaning or goes. */
  readonly schema: 1;
  readonly tool: string;
  readonly fail_on: Severity | 'never';
  readonly verdict: 'pass' | 'fail';
  readonly reports: readonly TraceReport[];
  /** Waivers that fit nothing, or have expired, and what else the reader of the verdict should know. */
  readonly remarks: readonly string[];
}
