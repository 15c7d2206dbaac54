// SPDX-License-Identifier: Apache-2.0
/** How the argument of a recorded ioctl becomes one of the replay's, and what is learnt from the answer. */
import type { Event } from '../../traces/model.js';

/** What a replay knows of the recorded process's things. */
export interface Remapping {
  /** The target's descriptor of what this descriptor was; undefined when the replay has none. */
  descriptor(event: Event, fd: number): number | undefined;
  /** The target's eventfd of a recorded object. */
  eventfd(object: number): number;
  /** Memory for a recorded DMA mapping. */
  mapMemory(object: number, ioas: number, iova: bigint, length: bigint): bigint;
  unmapMemory(object: number, ioas: number, iova: bigint, length: bigint): void;
  /** Memory that a device of 2010 has mapped, by the address that it had in the recorded process. */
  mappedAt(
    object: number,
    vaddr: bigint,
    length: bigint,
  ): { readonly iova: bigint; readonly address: bigint } | undefined;
  /** The target's id of a recorded iommufd object. */
  id(iommufd: number, recorded: number): number | undefined;
  learnId(iommufd: number, recorded: number, seen: number): void;
}

/** Undefined: the call can be made. A text: why it is left out. */
export type Patch = (bytes: Uint8Array, remapping: Remapping, event: Event) => string | undefined;
/** After a call that succeeded. */
export type Learn = (
  before: Uint8Array,
  recorded: Uint8Array,
  seen: Uint8Array,
  remapping: Remapping,
  event: Event,
) => void;

export interface Handling {
  readonly patch?: Patch;
  readonly learn?: Learn;
  /** Fields of the answer that belong to the machine or to the process. */
  readonly ignore?: readonly string[];
}
