// SPDX-License-Identifier: Apache-2.0
/** Ioctls: the argument with what belongs to this process, the call, and what it answered. */
import { decode, type Layout, readU32 } from '../../abi/layout.js';
import * as kinds from '../../abi/object-kinds.js';
import { hex } from '../../abi/text.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { payloadOf } from '../../session/payloads.js';
import { type Event, PayloadRole } from '../../traces/model.js';
import type { ReplayContext } from './context.js';
import type { Descriptors } from './descriptors.js';
import { handlingOf } from './ioctl-arguments.js';
import { NoCounterpart, type TargetMemory } from './target.js';

/** Without one of them the device would use addresses that lead nowhere. */
const MAPS: ReadonlySet<string> = new Set([
  'VFIO_IOMMU_MAP_DMA',
  'IOMMU_IOAS_MAP',
  'IOMMU_IOAS_MAP_FILE',
  'IOMMU_IOAS_COPY',
  'VFIO_DMA_MAP_IOVA',
]);

/** ARG_MAX would do for none of VFIO's: its largest, a hot reset's list or 2048 eventfds, have some KiB. */
const LARGEST_ARGUMENT = 1 << 20;

/**
 * The argument with all the room that the kernel may write to: a recording may hold less than argsz says, and what it
 * says is not to be trusted.
 */
function roomFor(layout: Layout, before: Uint8Array, after: Uint8Array | undefined): Uint8Array | undefined {
  const first = Object.entries(layout.fields).find(([, { offset }]) => offset === 0)?.[0];
  const said = first === 'argsz' || first === 'size' ? readU32(before, 0) : 0;
  const length = Math.max(layout.size, before.length, after?.length ?? 0, said);
  if (length > LARGEST_ARGUMENT) return undefined;
  const bytes = new Uint8Array(new ArrayBuffer(length));
  bytes.set(before);
  return bytes;
}

export class Ioctls {
  readonly #context: ReplayContext;
  readonly #descriptors: Descriptors;

  constructor(context: ReplayContext, descriptors: Descriptors) {
    this.#context = context;
    this.#descriptors = descriptors;
  }

  /** Whether it was called. */
  ioctl(event: Event): boolean {
    const { account, session } = this.#context;
    const kind = session.names.kind(event.object);
    const name = session.ioctl(event.object, event.op)?.name ?? '';
    let done = false;
    try {
      done = this.#reissue(event, kind);
    } catch (error) {
      if (!(error instanceof NoCounterpart)) throw error;
      account.omit(`${name}: ${error.message}`);
    }
    if (!done && event.errno === 0 && MAPS.has(name)) this.#mapFailed(name, event);
    session.apply(event);
    return done;
  }

  #mapFailed(name: string, event: Event): void {
    this.#context.guard?.mapFailed(`${name} of event ${event.number} could not be done`);
  }

  #reissue(event: Event, kind: number): boolean {
    const { account, session, target, compare, counterparts, pace } = this.#context;
    if (kind === kinds.KVM || kind === kinds.KVM_VM) return false;
    const found = session.ioctl(event.object, event.op);
    const fd = counterparts.fds.get(event.object);
    if (fd === undefined) {
      if (kind !== 0) account.omit('calls on descriptors that the replay does not have');
      return false;
    }
    if (found === undefined) {
      account.omit(`ioctls that no table knows (${hex(event.op)})`);
      return false;
    }
    const { name, argument } = found;
    if (name === 'VFIO_GROUP_GET_DEVICE_FD') return this.#descriptors.getDevice(event, fd);
    const before = payloadOf(event, PayloadRole.IN);
    if (argument.kind !== 'struct') {
      pace.wait(event.time);
      account.operations++;
      const result = target.ioctlValue(fd, event.op, argument.kind === 'value' ? event.value : 0n);
      target.settle();
      compare.result(event, name, result, found.returns === 'number');
      return true;
    }
    if (before === undefined) {
      account.omit('ioctls whose argument was not recorded');
      return false;
    }
    const handling = handlingOf(name);
    const bytes = roomFor(argument.layout, before, payloadOf(event, PayloadRole.OUT));
    if (bytes === undefined) {
      account.omit(`${name}: an argument of more than ${LARGEST_ARGUMENT} bytes`);
      return false;
    }
    const reason = handling.patch?.(bytes, counterparts, event);
    if (reason !== undefined) {
      account.omit(`${name}: ${reason}`);
      return false;
    }
    const pointed = this.#pointers(event, bytes);
    pace.wait(event.time);
    account.operations++;
    const result = target.ioctl(fd, event.op, bytes);
    target.settle();
    for (const memory of pointed) memory.free();
    compare.result(event, name, result, found.returns === 'number');
    if (result < 0 && event.errno === 0 && MAPS.has(name)) this.#mapFailed(name, event);
    if (result < 0 || event.errno !== 0) return true;
    const recorded = payloadOf(event, PayloadRole.OUT) ?? before;
    handling.learn?.(before, recorded, bytes, counterparts, event);
    if (name === 'VFIO_DEVICE_GET_REGION_INFO') this.#learnRegion(event.object, bytes);
    compare.fields(event, name, argument.layout, recorded, bytes, handling.ignore ?? []);
    return true;
  }

  #learnRegion(object: number, bytes: Uint8Array): void {
    const { index, offset } = decode(REGION_INFO, bytes);
    if (index !== undefined && offset !== undefined)
      this.#context.counterparts.devices.get(object)?.setRegion(index, offset);
  }

  /** Buffers that the structure points to, at addresses of the target. */
  #pointers(event: Event, bytes: Uint8Array): readonly TargetMemory[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const made: TargetMemory[] = [];
    for (const { role, address, data } of event.payloads) {
      if ((role !== PayloadRole.POINTED && role !== PayloadRole.POINTED_OUT) || address === 0n) continue;
      for (let at = 0; at + 8 <= bytes.length; at += 8) {
        if (view.getBigUint64(at, true) !== address) continue;
        const memory = this.#context.target.memory(BigInt(Math.max(data.length, 1)));
        if (role === PayloadRole.POINTED) memory.write(0, data);
        view.setBigUint64(at, memory.address, true);
        made.push(memory);
        break;
      }
    }
    return made;
  }
}
