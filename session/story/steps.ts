// SPDX-License-Identifier: Apache-2.0
/**
 * What a session consists of, typed: each event but the bulk (loads, stores, eventfds) becomes a step, told after the
 * state has it. Names of ioctls are C's; whoever needs the argument decodes it with the layout that abi/ has for it.
 */

import type { NetlinkMessage } from '../../abi/lyon2010/netlink.js';
import type { DmaMapping } from '../dma.js';
import type { MappedRegion } from '../mappings.js';
import type { DmaSpace } from './address-spaces.js';
import type { ControllerNews } from './controllers/controller.js';
import type { DeviceLife } from './device-life.js';
import type { Seen, SeenConfig, SeenIoctl } from './seen.js';

export interface OpenStep extends Seen {
  readonly type: 'open';
  readonly object: number;
  readonly path: string;
}

export interface CloseStep extends Seen {
  readonly type: 'close';
  /** The objects whose descriptors were closed. */
  readonly objects: readonly number[];
  /** Those of them that no process has a descriptor of any more. */
  readonly gone: readonly number[];
}

export interface IoctlStep extends SeenIoctl {
  readonly type: 'ioctl';
  readonly device: DeviceLife | undefined;
}

/** An access to configuration space. */
export interface ConfigStep extends SeenConfig {
  readonly device: DeviceLife;
  /** Bytes asked for. */
  readonly length: number;
  /** What the bytes that are written were known to hold before; undefined where that was not known. */
  readonly held: readonly (number | undefined)[];
}

/** A read or write of a region other than configuration space through its descriptor. */
export interface RegionStep extends Seen {
  readonly type: 'region-read' | 'region-write';
  readonly device: DeviceLife;
  readonly region: number;
  readonly offset: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** mmap of a device's region, also one that failed: `mapping` is there when it succeeded. */
export interface MapStep extends Seen {
  readonly type: 'map';
  readonly device: DeviceLife;
  readonly region: number;
  readonly offset: bigint;
  readonly length: bigint;
  readonly protection: number;
  readonly mapFlags: number;
  readonly mapping: MappedRegion | undefined;
}

/** A change of the process's memory, whatever lies there. */
export interface MemoryStep extends Seen {
  readonly type: 'memory';
  readonly what: 'mmap' | 'munmap' | 'mremap' | 'mprotect' | 'madvise';
  readonly start: bigint;
  readonly length: bigint;
  /** Protection or advice. */
  readonly argument: number;
  /** Parts of device regions that it took away. */
  readonly regions: readonly MappedRegion[];
}

/** A write to a file that is no device: sysfs. */
export interface FileWriteStep extends Seen {
  readonly type: 'file-write';
  readonly object: number;
}

/** A datagram of generic netlink that was sent, or taken by a receive. */
export interface NetlinkStep extends Seen {
  readonly type: 'netlink-send' | 'netlink-receive';
  readonly object: number;
  readonly messages: readonly NetlinkMessage[];
}

export interface DmaMapStep extends Seen {
  readonly type: 'dma-map';
  readonly space: DmaSpace;
  readonly mapping: DmaMapping;
}

export interface DmaUnmapStep extends Seen {
  readonly type: 'dma-unmap';
  readonly space: DmaSpace;
  readonly start: bigint;
  readonly length: bigint;
  /** What lay there, whole even where only a part went. */
  readonly mappings: readonly DmaMapping[];
}

/** The device's controller, as far as its class is known: what a load or store of a register meant. */
export interface ControllerStep extends Seen, ControllerNews {
  readonly type: 'controller';
  readonly device: DeviceLife;
}

export interface DescriptorStep extends Seen {
  readonly type: 'eventfd' | 'dup' | 'send-fd' | 'receive-fd' | 'unseen';
  readonly object: number;
  readonly fd: number;
}

export interface ProcessStep extends Seen {
  readonly type: 'process' | 'fork' | 'exec' | 'signal';
}

export interface ExitStep extends Seen {
  readonly type: 'exit';
  readonly status: number;
  /** Objects that went with the process. */
  readonly gone: readonly number[];
}

export interface LostStep extends Seen {
  readonly type: 'lost';
}

export type Step =
  | OpenStep
  | CloseStep
  | IoctlStep
  | ConfigStep
  | RegionStep
  | MapStep
  | MemoryStep
  | FileWriteStep
  | NetlinkStep
  | DmaMapStep
  | DmaUnmapStep
  | ControllerStep
  | DescriptorStep
  | ProcessStep
  | ExitStep
  | LostStep;

export type StepType = Step['type'];
/** The step of a type, also where several types share one structure. */
export type StepOf<T extends StepType> = OneOf<Step, T>;
type OneOf<S extends Step, T extends StepType> = S extends Step
  ? T extends S['type']
    ? S & { readonly type: T }
    : never
  : never;
