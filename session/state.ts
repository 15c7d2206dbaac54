// SPDX-License-Identifier: Apache-2.0
/**
 * The state of a recorded session, rebuilt event by event: which descriptor is what, where each device's regions lie,
 * what its configuration space holds, which eventfd is which interrupt, what is mapped for DMA and into the process.
 * Nothing here judges: an event that makes no sense changes nothing.
 */
import type { Ioctl } from '../abi/ioctl.js';
import { findIoctl } from '../abi/ioctls.js';
import { LYON_V2_EVENTFD_MSI, LYON_V2_IOCTLS } from '../abi/lyon2010/ioctls.js';
import { isDevice, LYON_DEVICE } from '../abi/object-kinds.js';
import { CONFIG_REGION } from '../abi/vfio/regions.js';
import { type Event, EventKind, PayloadRole } from '../traces/model.js';
import type { DefinitionMaps } from '../traces/reader.js';
import type { Change, ChangeListener, SessionContext } from './change.js';
import { Descriptors } from './descriptors.js';
import { DeviceState } from './device.js';
import { DmaMaps } from './dma.js';
import { InterruptRoutes } from './interrupts.js';
import { applyIoctl } from './ioctls.js';
import { type MappedRegion, Mappings } from './mappings.js';
import { ObjectNames } from './object-names.js';
import { payloadBytes } from './payloads.js';

/** The kinds that can change the state: the others may be passed over; loads while `awaitsLayout` says no. */
export const STATE_KINDS: readonly number[] = [
  EventKind.OPEN,
  EventKind.CLOSE,
  EventKind.DUP,
  EventKind.IOCTL,
  EventKind.READ,
  EventKind.MMAP,
  EventKind.MUNMAP,
  EventKind.MREMAP,
  EventKind.EVENTFD,
  EventKind.RECV_FD,
  EventKind.UNSEEN,
];

export class Session implements SessionContext {
  readonly definitions: DefinitionMaps;
  readonly names: ObjectNames;
  readonly descriptors: Descriptors;
  readonly interrupts = new InterruptRoutes();
  readonly dma = new DmaMaps();
  readonly mappings = new Mappings();
  readonly #devices = new Map<number, DeviceState>();
  readonly #listener: ChangeListener | undefined;

  constructor(definitions: DefinitionMaps, listener?: ChangeListener) {
    this.definitions = definitions;
    this.names = new ObjectNames(definitions);
    this.descriptors = new Descriptors(definitions.processes);
    this.#listener = listener;
  }

  /** The device of this object; undefined when the object is none. */
  device(object: number): DeviceState | undefined {
    const known = this.#devices.get(object);
    if (known !== undefined) return known;
    const kind = this.names.kind(object);
    if (!isDevice(kind)) return undefined;
    const state = new DeviceState(object, kind, this.names.device(object));
    this.#devices.set(object, state);
    return state;
  }

  /** Whether a device is open of which a load may yet tell where its registers lie (NVMe's CAP). */
  get awaitsLayout(): boolean {
    for (const { id, kind } of this.definitions.objects.values())
      if (isDevice(kind) && this.device(id)?.registers.awaitsLayout === true && this.descriptors.holds(id))
        return true;
    return false;
  }

  /** Which ioctl a number is on this object, as far as the recording has told by now. */
  ioctl(object: number, request: number): Ioctl | undefined {
    if (request === LYON_V2_EVENTFD_MSI.request && this.device(object)?.isJune2010 === true)
      return LYON_V2_EVENTFD_MSI;
    return findIoctl(this.names.kind(object), request);
  }

  processOf(event: Event): number {
    return this.definitions.threads.get(event.thread)?.process ?? 0;
  }

  /** After this, the state is what it was when the event had ended. */
  apply(event: Event): void {
    switch (event.kind) {
      case EventKind.IOCTL:
        this.#ioctl(event);
        break;
      case EventKind.READ:
        this.#read(event);
        break;
      case EventKind.LOAD:
        this.device(event.object)?.registers.learn(
          event.op & 0xff,
          Number(event.offset),
          (event.op >>> 8) & 0xff,
          event.value,
        );
        break;
      case EventKind.OPEN:
      case EventKind.EVENTFD:
      case EventKind.RECV_FD:
      case EventKind.UNSEEN:
        if (event.errno === 0) this.descriptors.set(this.processOf(event), event.fd, event.object);
        break;
      case EventKind.CLOSE: {
        const last = event.op === 1 ? Number(BigInt.asUintN(32, event.offset)) : event.fd;
        if (event.errno === 0) this.descriptors.close(this.processOf(event), event.fd, last);
        break;
      }
      case EventKind.DUP:
        if (event.errno === 0)
          this.descriptors.set(this.processOf(event), Number(event.result), event.object);
        break;
      case EventKind.MMAP:
        this.#mmap(event);
        break;
      case EventKind.MUNMAP:
        if (event.errno === 0) this.#unmap(event, event.offset, event.value);
        break;
      case EventKind.MREMAP:
        this.#mremap(event);
        break;
      default:
        break;
    }
  }

  notify(change: Change, event: Event): void {
    this.#listener?.(change, event);
  }

  #ioctl(event: Event): void {
    const ioctl = this.ioctl(event.object, event.op);
    if (ioctl === undefined) return;
    if (event.errno === 0 && this.names.kind(event.object) === LYON_DEVICE) this.#posting(event);
    if (ioctl.returns === 'fd' && event.errno === 0) this.#returnedDescriptor(event);
    applyIoctl(this, event, ioctl.name);
  }

  #posting({ object, op }: Event): void {
    const device = this.device(object);
    if (device !== undefined && LYON_V2_IOCTLS.some(({ request }) => request === op))
      device.isJune2010 = true;
  }

  /** A new object that a call returned; the recorder says which it is in the KIND payload's second word. */
  #returnedDescriptor(event: Event): void {
    const bytes = payloadBytes(event, PayloadRole.KIND);
    if (bytes === undefined || bytes.length < 8) return;
    const object = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    this.descriptors.set(this.processOf(event), Number(event.result), object);
  }

  #read(event: Event): void {
    if (event.result <= 0n) return;
    const device = this.device(event.object);
    if (device === undefined) return;
    const place = device.locate(event.offset);
    if (place === undefined) return;
    if (place.index !== CONFIG_REGION) {
      device.registers.learn(place.index, Number(place.offset), Number(event.result), event.value);
      return;
    }
    const bytes = payloadBytes(event, PayloadRole.DATA);
    if (bytes !== undefined) device.config.learn(Number(place.offset), bytes);
    else if (event.result <= 8n) {
      device.config.learnValue(Number(place.offset), Number(event.result), event.value);
    }
  }

  #mmap(event: Event): void {
    if (event.errno !== 0) return;
    const process = this.processOf(event);
    const address = BigInt.asUintN(64, event.result);
    const device = this.device(event.object);
    const place = device?.locate(event.offset);
    if (place === undefined) {
      // Whatever lay there before is gone (MAP_FIXED).
      this.#unmap(event, address, event.value);
      return;
    }
    const mapping: MappedRegion = {
      process,
      start: address,
      length: event.value,
      object: event.object,
      region: place.index,
      offset: place.offset,
    };
    this.mappings.map(mapping);
    this.notify({ type: 'mapped', mapping }, event);
  }

  #unmap(event: Event, start: bigint, length: bigint): void {
    const mappings = this.mappings.unmap(this.processOf(event), start, length);
    if (mappings.length > 0) this.notify({ type: 'unmapped', mappings }, event);
  }

  #mremap(event: Event): void {
    if (event.errno !== 0) return;
    const process = this.processOf(event);
    const old = this.mappings.at(process, event.offset);
    const bytes = payloadBytes(event, PayloadRole.IN);
    if (old === undefined || bytes === undefined || bytes.length < 8) return;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    this.#unmap(event, event.offset, event.value);
    const mapping: MappedRegion = {
      ...old,
      start: BigInt.asUintN(64, event.result),
      length,
      offset: old.offset + (event.offset - old.start),
    };
    this.mappings.map(mapping);
    this.notify({ type: 'mapped', mapping }, event);
  }
}
