// SPDX-License-Identifier: Apache-2.0

/**
 * What passes between the shim and the collector: the TypeScript side of record.h, where every field is explained.
 * record.test.ts compiles the header and compares every size, offset and number with these.
 */

export const WIRE_VERSION = 2;
export const CONTROL_MAGIC = 0x5345535f45504154n;
export const RING_MAGIC = 0x474e495245504154n;
export const PROCESS_MAGIC = 0x434f525045504154n;

export const RINGS_MAX = 256;
export const RING_HEADER_BYTES = 4096;
export const WATCHES_MAX = 32;
export const PAYLOAD_MAX = 65536;
export const SITE_MASK = 0x0000ffffffffffffn;
/** The fd table of a process file starts here. */
export const PROCESS_FDS_OFFSET = 4096;
export const FDS_MAX = 1 << 20;
/** A record's duration counts in these when RecordFlag.LONG is set. */
export const LONG_DURATION_UNIT = 65536;

/** Byte offsets in struct vfiotape_record. */
export const RecordField = {
  entered: 0,
  siteErrno: 8,
  offset: 16,
  value: 24,
  result: 32,
  duration: 40,
  object: 44,
  op: 48,
  fd: 52,
  kind: 56,
  flags: 57,
  lap: 58,
  payload: 60,
} as const;
export const RECORD_BYTES = 64;

export const RecordFlag = {
  PAYLOAD: 0x01,
  LONG: 0x02,
  INTENT: 0x04,
  UNKNOWN: 0x08,
  RAW: 0x10,
} as const;

export const RecordKind = {
  NONE: 0,
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
  KIND_END: 32,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/** op of DMA: the direction in bits 0-7, how it was seen in bits 8-15. */
export const Dma = { READ: 0, WRITE: 1, FILL: 2, HELD: 3 } as const;
export const DmaHow = { SEEN: 0, FOUND: 1, AMBIGUOUS: 2 } as const;

/** op of DUP. */
export const Dup = { DUP: 0, DUP2: 1, DUP3: 2, F_DUPFD: 3, F_DUPFD_CLOEXEC: 4, PIDFD_GETFD: 5 } as const;

/** op of WAKE. */
export const Wait = {
  POLL: 0,
  PPOLL: 1,
  SELECT: 2,
  PSELECT: 3,
  EPOLL: 4,
  EPOLL_PWAIT: 5,
  EPOLL_PWAIT2: 6,
} as const;

/** op of FORK. */
export const Fork = { FORK: 0, VFORK: 1, CLONE: 2, SPAWN: 3 } as const;

/** op of LOST. */
export const Loss = {
  FULL: 0,
  NO_RING: 1,
  NO_COLLECTOR: 2,
  SIDE_FULL: 3,
  FD_TABLE: 4,
  INTERNAL: 5,
} as const;

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
  KIND_END: 21,
} as const;
export type ObjectKind = (typeof ObjectKind)[keyof typeof ObjectKind];

/** Byte offsets in struct vfiotape_segment; the bytes follow it, padded to 8. */
export const SegmentField = { length: 0, role: 4, flags: 5, index: 6, address: 8 } as const;
export const SEGMENT_BYTES = 16;

export const SegmentFlag = { MORE: 0x01, CUT: 0x02, FAULT: 0x04, REDACTED: 0x08 } as const;

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

/** Byte offsets in struct vfiotape_ring_header. */
export const RingField = {
  magic: 0,
  index: 8,
  recordsLog2: 12,
  sideLog2: 16,
  pid: 20,
  tid: 24,
  process: 28,
  head: 64,
  tail: 128,
  tailCheck: 136,
  sideHead: 192,
  sideTail: 256,
  sideTailCheck: 264,
  lost: 320,
  lostPayload: 328,
  waits: 336,
  waited: 344,
  inflight: 384,
} as const;
export const RING_HEADER_USED_BYTES = 448;

export const RingState = { FREE: 0, OWNED: 1, LEFT: 2 } as const;

export const WhenFull = { BLOCK: 0, DROP: 1 } as const;
export const ClockSource = { TSC: 0, MONOTONIC: 1 } as const;
export const MmioMode = { OFF: 0, PATCH: 1, TRAP: 2, SYSCALLS: 3 } as const;
export const SessionState = { RECORDING: 0, STOPPED: 1 } as const;

/** Byte offsets in struct vfiotape_watch. */
export const WatchField = { region: 0, first: 8, last: 16 } as const;
export const WATCH_BYTES = 24;
export const WATCH_ANY_REGION = 0xffffffff;

/** Byte offsets in struct vfiotape_control. */
export const ControlField = {
  magic: 0,
  version: 8,
  recordsLog2: 12,
  sideLog2: 16,
  ringLimit: 20,
  whenFull: 24,
  clockSource: 28,
  mmioMode: 32,
  watches: 36,
  state: 40,
  collectorPid: 44,
  heartbeat: 48,
  heartbeatCheck: 56,
  nextObject: 64,
  nextProcess: 68,
  lostNoRing: 72,
  lostOther: 80,
  openFiles: 88,
  ringState: 136,
  watch: 1160,
  dmaCompared: 1928,
  dmaComparisons: 1936,
  dmaPages: 1944,
  dmaTicks: 1952,
  dmaSkipped: 1960,
  dmaMapped: 1968,
  dmaTracked: 1976,
  dmaLeftOut: 1984,
  dmaLeftOutBytes: 2032,
} as const;
export const CONTROL_BYTES = 2080;

/** Why a mapping for DMA is not compared, or not any more. */
export const LeftOut = {
  LARGE: 0,
  MANY: 1,
  UNREADABLE: 2,
  GONE: 3,
  NO_MEMORY: 4,
  INDIRECT: 5,
  END: 6,
} as const;

/** Byte offsets in struct vfiotape_fd. */
export const FdField = { object: 0, kind: 4, flags: 5, detail: 6 } as const;
export const FD_BYTES = 8;

/** Byte offsets in struct vfiotape_process. */
export const ProcessField = {
  magic: 0,
  pid: 8,
  parent: 12,
  process: 16,
  attached: 20,
  started: 24,
  unseen: 32,
  pidNamespace: 40,
} as const;
export const PROCESS_BYTES = 128;

export const controlFile = 'control';
export const ringFile = (index: number): string => `ring.${String(index).padStart(3, '0')}`;
export const processFile = (pid: number): string => `process.${pid}`;
