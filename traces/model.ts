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
