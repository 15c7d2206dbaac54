// SPDX-License-Identifier: Apache-2.0
/** What stands here for the recorded process's things: descriptors, devices, eventfds, memory, ids. */
import { lyonRegionOffset } from '../../abi/lyon2010/regions.js';
import * as kinds from '../../abi/object-kinds.js';
import { defaultRegionOffset } from '../../abi/vfio/regions.js';
import { DmaMaps } from '../../session/dma.js';
import type { Session } from '../../session/state.js';
import type { Event } from '../../traces/model.js';
import { ByDescriptor } from './by-descriptor.js';
import type { Remapping } from './handling.js';
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from './target.js';

/** A part of a region in the target's memory. */
export interface HeldMapping {
  readonly mapping: TargetMapping;
  /** Within the region: from start up to end. */
  readonly start: number;
  readonly end: number;
  /** As they were asked for. */
  readonly length: number;
  readonly readOnly: boolean;
}

const PAGE = 4096;

export class OpenDevice {
  readonly fd: number;
  readonly isLyon: boolean;
  readonly mappings: HeldMapping[][] = [];
  readonly #target: Target;
  /** Where the target has each region. */
  readonly #offsets = new Map<number, bigint>();
  readonly #byDescriptor: HeldMapping[] = [];

  constructor(target: Target, fd: number, isLyon = false) {
    this.#target = target;
    this.fd = fd;
    this.isLyon = isLyon;
  }

  setRegion(region: number, offset: bigint): void {
    this.#offsets.set(region, offset);
  }

  /** In the descriptor. */
  offset(region: number): bigint {
    return (
      this.#offsets.get(region) ?? (this.isLyon ? lyonRegionOffset(region) : defaultRegionOffset(region))
    );
  }

  /** Pages are mapped whole. */
  addMapping(region: number, mapping: TargetMapping, start: number, length: number, readOnly: boolean): void {
    const mappings = this.mappings[region] ?? [];
    mappings.push({ mapping, start, length, readOnly, end: Math.ceil((start + length) / PAGE) * PAGE });
    this.mappings[region] = mappings;
  }

  /** Where an access is made: the last mapping that has all of it, otherwise the descriptor. */
  place(region: number, offset: number, width: number): HeldMapping {
    const mappings = this.mappings[region];
    if (mappings !== undefined) {
      for (let i = mappings.length - 1; i >= 0; i--) {
        const held = mappings[i] as HeldMapping;
        if (offset >= held.start && offset + width <= held.end) return held;
      }
    }
    const known = this.#byDescriptor[region];
    if (known !== undefined) return known;
    const mapping = new ByDescriptor(this.#target, this.fd, () => this.offset(region));
    const made = { mapping, start: 0, length: 0, readOnly: false, end: 0 };
    this.#byDescriptor[region] = made;
    return made;
  }
}

export class Counterparts implements Remapping {
  readonly fds = new Map<number, number>();
  readonly devices = new Map<number, OpenDevice>();
  readonly eventfds = new Map<number, TargetEventfd>();
  readonly #session: Session;
  readonly #target: Target;
  readonly #memory = new DmaMaps();
  readonly #allocated = new Map<bigint, { readonly memory: TargetMemory; readonly length: bigint }>();
  /** Containers, and address spaces of iommufds, that something was mapped in. */
  readonly #spaces = new Map<string, readonly [object: number, ioas: number]>();
  readonly #ids = new Map<string, number>();

  constructor(session: Session, target: Target) {
    this.#session = session;
    this.#target = target;
  }

  eventfdOf(object: number): TargetEventfd {
    let eventfd = this.eventfds.get(object);
    if (eventfd === undefined) {
      eventfd = this.#target.eventfd();
      this.eventfds.set(object, eventfd);
    }
    return eventfd;
  }

  /** Mappings for DMA that are there now. */
  get mapped(): number {
    return this.#allocated.size;
  }

  /** What the driver had in its memory where the device is going to read; false when nothing is mapped there. */
  fill(iova: bigint, bytes: Uint8Array): boolean {
    for (const [object, ioas] of this.#spaces.values()) {
      const mapping = this.#memory.space(object, ioas).at(iova);
      if (mapping === undefined || iova + BigInt(bytes.length) > mapping.start + mapping.length) continue;
      const address = mapping.address + (iova - mapping.start);
      for (const [start, { memory, length }] of this.#allocated) {
        if (address < start || address >= start + length) continue;
        memory.write(Number(address - start), bytes);
        return true;
      }
    }
    return false;
  }

  // --- of ioctl arguments ----------------------------------------------------------------------------------------

  descriptor(event: Event, fd: number): number | undefined {
    const object = this.#session.descriptors.get(this.#session.processOf(event), fd);
    if (object === undefined) return undefined;
    return this.#session.names.kind(object) === kinds.EVENTFD
      ? this.eventfdOf(object).fd
      : this.fds.get(object);
  }

  eventfd(object: number): number {
    return this.eventfdOf(object).fd;
  }

  mapMemory(object: number, ioas: number, iova: bigint, length: bigint): bigint {
    const memory = this.#target.memory(length);
    const { address } = memory;
    this.#allocated.set(address, { memory, length });
    this.#spaces.set(`${object}/${ioas}`, [object, ioas]);
    this.#memory.map(object, ioas, { start: iova, length, address, readable: true, writable: true });
    return address;
  }

  unmapMemory(object: number, ioas: number, iova: bigint, length: bigint): void {
    for (const { address, start, length: held } of this.#memory.unmap(object, ioas, iova, length)) {
      if (start < iova || start + held > iova + length) continue;
      this.#allocated.get(address)?.memory.free();
      this.#allocated.delete(address);
    }
  }

  /** Memory of the recorded process went: devices of 2010 lose what they had mapped of it. */
  memoryGone(start: bigint, end: bigint): void {
    for (const [object, { isLyon }] of this.devices) {
      if (!isLyon) continue;
      for (const { address, length, start: iova } of this.#session.dma.space(object)) {
        const here = this.#memory.space(object).at(iova);
        if (here === undefined || address >= end || address + length <= start) continue;
        this.#target.memoryGone?.(here.address, length);
        this.unmapMemory(object, 0, iova, length);
      }
    }
  }

  mappedAt(
    object: number,
    vaddr: bigint,
    length: bigint,
  ): { readonly iova: bigint; readonly address: bigint } | undefined {
    for (const { address, start, length: held } of this.#session.dma.space(object)) {
      if (address !== vaddr || held !== length) continue;
      const here = this.#memory.space(object).at(start);
      return here === undefined ? undefined : { iova: start, address: here.address };
    }
    return undefined;
  }

  id(object: number, recorded: number): number | undefined {
    return this.#ids.get(`${this.#iommufdOf(object)}/${recorded}`);
  }

  learnId(object: number, recorded: number, seen: number): void {
    this.#ids.set(`${this.#iommufdOf(object)}/${recorded}`, seen);
  }

  /** Ids are an iommufd's; a device's calls name those of the one it is bound to, and a session has one. */
  #iommufdOf(object: number): number {
    if (this.#session.names.kind(object) === kinds.IOMMUFD) return object;
    for (const held of this.fds.keys()) if (this.#session.names.kind(held) === kinds.IOMMUFD) return held;
    return object;
  }
}
