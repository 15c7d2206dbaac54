// SPDX-License-Identifier: Apache-2.0
/**
 * A machine on which a recorded session is reissued: a simulated one in process, or this one. All calls answer as
 * system calls do: a number, or a negative errno.
 */
import type { AccessWidth, LockedKind } from '../native/access.js';

export type { AccessWidth } from '../native/access.js';

/** A read-modify-write in one: what it leaves depends on what it finds. */
export interface LockedUpdate {
  readonly kind: LockedKind;
  readonly operand: bigint;
  /** Of a compare-exchange: what it replaces. */
  readonly expected: bigint;
}

/** How an access wider than eight bytes was made; `none`: it was not, since it means something as a whole only. */
export type WideOutcome = 'whole' | 'pieces' | 'none' | 'fault';

/** Registers in the replay's memory, or reached by its descriptor. */
export interface TargetMapping {
  /** Undefined: SIGBUS. */
  load(offset: number, width: AccessWidth): bigint | undefined;
  store(offset: number, width: AccessWidth, value: bigint): boolean;
  /** As wide as the bytes are. */
  loadWide(offset: number, into: Uint8Array): WideOutcome;
  /** `line`: movdir64b, one write of 64 bytes. */
  storeWide(offset: number, from: Uint8Array, line: boolean): WideOutcome;
  /** The value before; null: the target does not tell. */
  update(offset: number, width: AccessWidth, update: LockedUpdate): bigint | null | undefined;
  unmap(): void;
}

export interface TargetMemory {
  /** As the calls take it. */
  readonly address: bigint;
  read(offset: number, length: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
  free(): void;
}

export interface TargetEventfd {
  readonly fd: number;
  /** What was signalled since it was read last; 0: nothing. */
  read(): bigint;
  /** The same, but waits so many ns for a signal. */
  wait(ns: number): bigint;
  write(): void;
  close(): void;
}

export interface Target {
  /** `sim:nvme`, `hardware:0000:01:00.0` */
  readonly label: string;
  /** The device that takes the recorded one's place. */
  readonly bdf: string;
  /** Undefined where the machine has no groups, or no device nodes. */
  readonly groupPath: string | undefined;
  readonly cdevPath: string | undefined;
  /** Of the interface of 2010: /dev/vfioN. */
  readonly lyonPath?: string | undefined;
  open(path: string): number;
  close(fd: number): void;
  /** The argument is a structure, changed in place. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** The argument is a number. */
  ioctlValue(fd: number, request: number, argument: bigint): number;
  pread(fd: number, into: Uint8Array, offset: bigint): number;
  pwrite(fd: number, from: Uint8Array, offset: bigint): number;
  /** Of sockets of generic netlink, where the target has them: a datagram each. */
  read?(fd: number, into: Uint8Array): number;
  write?(fd: number, from: Uint8Array): number;
  mmap(fd: number, offset: bigint, length: bigint, writable: boolean): TargetMapping | number;
  /** Memory for the device, all zeroes. */
  memory(length: bigint): TargetMemory;
  /** The process unmapped its memory, of which the kernel of 2010 hears. */
  memoryGone?(address: bigint, length: bigint): void;
  eventfd(): TargetEventfd;
  /** Lets a simulated device do what it was told to. */
  settle(): void;
  /** Everything is closed; a device that is open is reset first. */
  end(): void;
}

/** The target speaks another interface, in which there is nothing for this call. The message says what. */
export class NoCounterpart extends Error {}
