// SPDX-License-Identifier: Apache-2.0
/**
 * What a trace holds, as the rest of the program sees it. The numbers of kinds, object kinds and payload roles are
 * those of trace.proto and FORMAT.md; the table of what each kind keeps in which field is in FORMAT.md.
 */

/** Kinds of events. A larger number than these is an event of a newer recorder: shown, never refused. */
export const EventKind = {
  THREAD: 1,
  PROCESS: 2,
  CLOCK: 3,
  OPEN: 4,
  CLOSE: 5,
  DUP: 6,
  IOCTL: 7,
  READ: 8,
  WRITE: 9,
  LSEEK: 10,
  MMAP: 11,
  MUNMAP: 12,
  MREMAP: 13,
  MPROTECT: 14,
  MADVISE: 15,
  EVENTFD: 16,
  WAKE: 17,
  SIGNAL: 18,
  EXIT: 19,
  EXEC: 20,
  FORK: 21,
  SEND_FD: 22,
  RECV_FD: 23,
  LOAD: 24,
  STORE: 25,
  UPDATE: 26,
  LOST: 27,
  UNSEEN: 28,
  SITE: 29,
  DMA: 30,
  INTERRUPT: 31,
} as const;
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

/** What an open file description is; known from how the fd was born. */
export const ObjectKind = {
  NONE: 0,
  CONTAINER: 1,
  GROUP: 2,
  NOIOMMU_GROUP: 3,
  DEVICE: 4,
  CDEV: 5,
  IOMMUFD: 6,
  EVENTFD: 7,
  MIGRATION: 8,
  DMABUF: 9,
  FAULT_QUEUE: 10,
  VEVENTQ: 11,
  LYON_DEVICE: 12,
  UIOMMU: 13,
  SYSFS: 14,
  KVM: 15,
  KVM_VM: 16,
  PAGEMAP: 17,
  EPOLL: 18,
  SOCKET: 19,
  LYON_NETLINK: 20,
} as const;
export type ObjectKind = (typeof ObjectKind)[keyof typeof ObjectKind];

export const PayloadRole = {
  IN: 1,
  OUT: 2,
  POINTED: 3,
  POINTED_OUT: 4,
  DATA: 5,
  PATH: 6,
  NAME: 7,
  EXE: 8,
  ARGV: 9,
  MAPS: 10,
  KIND: 11,
} as const;
export type PayloadRole = (typeof PayloadRole)[keyof typeof PayloadRole];

/** Bits of an event's flags. */
export const EventFlag = {
  /** Recorded before an MMIO access that never completed. */
  INTENT: 0x04,
  /** The old value of an atomic access is not known. */
  UNKNOWN: 0x08,
  /** Went through syscall(2). */
  RAW: 0x10,
} as const;

export interface Payload {
  readonly role: number;
  readonly index: number;
  readonly address: bigint;
  /** The driver's bytes were more than were kept. */
  readonly cut: boolean;
  /** The address could not be read. */
  readonly fault: boolean;
  readonly redacted: boolean;
  readonly data: Uint8Array;
}

/** One event, all fields exact. */
export interface Event {
  /** From 0, in the order of the file: exact within a thread, by completion time across threads. */
  readonly number: number;
  readonly kind: number;
  readonly flags: number;
  /** Thread.id, 0 when not known. */
  readonly thread: number;
  /** ObjectDefinition.id, 0 when none. */
  readonly object: number;
  readonly fd: number;
  readonly op: number;
  /** When the call was entered: ns since the start of the recording. */
  readonly time: number;
  /** ns; 0 where the recorder takes one stamp only. */
  readonly duration: number;
  readonly offset: bigint;
  readonly value: bigint;
  /** Signed. */
  readonly result: bigint;
  readonly errno: number;
  /** Site.id, 0 when none. */
  readonly site: number;
  readonly payloads: readonly Payload[];
}

// --- the low-rate messages of trace.proto: fixed64 is a bigint, everything else a number --------------------------

export interface HostDescription {
  readonly kernel: string;
  readonly machine: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly hostname: string;
  readonly os: string;
  readonly kernelCommandLine: string;
}

export interface RecordingModes {
  readonly dialect: string;
  readonly mmio: string;
  readonly whenFull: string;
  readonly dma: string;
  readonly backend: string;
  readonly ringBytes: number;
  readonly maxSize: number;
  readonly atLimit: string;
  readonly durationNs: number;
  readonly watch: readonly string[];
}

export interface ClockPair {
  readonly ticks: bigint;
  readonly monotonicNs: bigint;
  readonly realtimeNs: bigint;
}

export interface TraceClock {
  readonly source: string;
  readonly ticksPerSecond: number;
  readonly baseTicks: bigint;
  readonly baseMonotonicNs: bigint;
  readonly baseRealtimeNs: bigint;
  readonly pairs: readonly ClockPair[];
}

export interface TraceHeader {
  readonly versionMajor: number;
  readonly versionMinor: number;
  readonly recorder: string;
  readonly host: HostDescription;
  readonly command: readonly string[];
  readonly modes: RecordingModes;
  readonly clock: TraceClock;
}

export interface ProcessDefinition {
  readonly id: number;
  readonly pid: number;
  readonly parentPid: number;
  readonly exe: string;
  readonly argv: readonly string[];
}

export interface ThreadDefinition {
  readonly id: number;
  readonly process: number;
  readonly tid: number;
  readonly name: string;
}

export interface ObjectDefinition {
  readonly id: number;
  readonly kind: number;
  readonly path: string;
  readonly parent: number;
  readonly process: number;
  readonly seenBorn: boolean;
  readonly device: number;
}

export interface ModuleDefinition {
  readonly id: number;
  readonly process: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly fileOffset: bigint;
  readonly path: string;
  readonly buildId: Uint8Array;
}

export interface SiteDefinition {
  readonly id: number;
  readonly process: number;
  readonly address: bigint;
  readonly module: number;
  readonly moduleOffset: bigint;
}

export interface ResourceDescription {
  readonly index: number;
  readonly size: bigint;
  readonly flags: bigint;
}

export interface DeviceDefinition {
  readonly id: number;
  readonly bdf: string;
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number;
  readonly subsystemVendor: number;
  readonly subsystemDevice: number;
  readonly revision: number;
  readonly driver: string;
  readonly iommuGroup: string;
  readonly resources: readonly ResourceDescription[];
  readonly config: Uint8Array;
  readonly resetMethod: string;
  readonly numaNode: number;
}

export interface MmioSiteDefinition {
  readonly site: number;
  readonly instruction: Uint8Array;
  readonly tier: number;
  readonly reason: number;
  readonly process: number;
}

/** What events refer to by id. An id that comes again replaces the earlier one (an object whose kind became known). */
export interface Definitions {
  readonly processes: readonly ProcessDefinition[];
  readonly threads: readonly ThreadDefinition[];
  readonly objects: readonly ObjectDefinition[];
  readonly modules: readonly ModuleDefinition[];
  readonly sites: readonly SiteDefinition[];
  readonly devices: readonly DeviceDefinition[];
  readonly mmioSites: readonly MmioSiteDefinition[];
}

export interface RingPosition {
  readonly ring: number;
  readonly records: bigint;
  readonly side: bigint;
}

export interface TraceLoss {
  readonly cause: string;
  readonly events: number;
  readonly bytes: number;
  readonly process: number;
  readonly detail: string;
}

export interface ProcessEnding {
  readonly process: number;
  /** -1: not known. */
  readonly exitStatus: number;
  /** 0: none. */
  readonly signal: number;
}

/** Mappings for DMA that were not compared, or not to the end. */
export interface DmaLeftOut {
  /** large, many, unreadable, gone, no-memory, indirect: FORMAT.md. */
  readonly why: string;
  readonly mappings: number;
  readonly bytes: number;
}

/** What comparing DMA-mapped memory came to (`--dma content` on hardware). */
export interface DmaComparison {
  /** That a process compared at most. */
  readonly bytesMost: number;
  readonly comparisons: number;
  /** Of 4 KiB, over all comparisons. */
  readonly pages: number;
  /** That the driver waited for them. */
  readonly ns: number;
  /** Comparisons that could not be made. */
  readonly skipped: number;
  /** Mappings that were compared; of those, for how many the kernel told which pages the driver wrote. */
  readonly mapped: number;
  readonly tracked: number;
  readonly leftOut: readonly DmaLeftOut[];
}

export interface TraceSummary {
  readonly clock: TraceClock;
  readonly events: number;
  readonly losses: readonly TraceLoss[];
  readonly endings: readonly ProcessEnding[];
  readonly complete: boolean;
  readonly stoppedBy: string;
  readonly waits: number;
  readonly waitedNs: number;
  readonly droppedEvents: number;
  readonly lateEvents: number;
  readonly kindCounts: readonly number[];
  /** One, or none: memory was not compared. */
  readonly dmaComparisons: readonly DmaComparison[];
}
