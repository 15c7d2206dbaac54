// SPDX-License-Identifier: Apache-2.0
/** Configuration space and regions by way of the descriptor, and mappings of regions. */
import { hex } from '../../abi/text.js';
import { CONFIG_REGION, regionName } from '../../abi/vfio/regions.js';
import type { MappedRegion } from '../../session/mappings.js';
import { isRedacted, payloadBytes } from '../../session/payloads.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { littleEndian } from './bytes.js';
import type { ReplayContext } from './context.js';

/** The low byte of an MMAP's op is its protection. */
const PROT_WRITE = 2;

export class Regions {
  readonly #context: ReplayContext;

  constructor(context: ReplayContext) {
    this.#context = context;
  }

  /** A read or write of the device's descriptor; whether it was made. */
  transfer(event: Event): boolean {
    const { session, account, target, counterparts, compare, pace, guard } = this.#context;
    const state = session.device(event.object);
    if (state === undefined) return false;
    const device = counterparts.devices.get(event.object);
    const place = state.locate(event.offset);
    if (device === undefined || place === undefined) {
      account.omit('accesses to a device that the replay does not have');
      return false;
    }
    const reading = event.kind === EventKind.READ;
    const given = payloadBytes(event, PayloadRole.DATA) ?? littleEndian(event.value, Math.min(event.op, 8));
    const redacted = isRedacted(event);
    if (!reading && (redacted || given.length < event.op)) {
      account.omit('writes of which not all bytes were recorded');
      return false;
    }
    const bytes = reading ? new Uint8Array(event.op) : given.slice(0, event.op);
    const within = Number(place.offset);
    if (guard !== undefined && !reading) {
      const held = guard.write(place.index, within, bytes);
      if (held !== undefined) account.omit(held.reason);
      if (held?.whole === true) return false;
    }
    pace.wait(event.time);
    account.operations++;
    const offset = device.offset(place.index) + place.offset;
    const result = reading ? target.pread(device.fd, bytes, offset) : target.pwrite(device.fd, bytes, offset);
    target.settle();
    const what = `${reading ? 'read' : 'write'} ${regionName(place.index)}+${hex(place.offset)}`;
    if (!compare.result(event, what, result, true) || result < 0 || !reading) return true;
    if (redacted || guard?.isTable(place.index, within, event.op) === true) return true;
    compare.bytes(event, place.index, within, given.subarray(0, result), bytes.subarray(0, result));
    return true;
  }

  /** A mapping of a region; whether it was made. */
  map(event: Event): boolean {
    const { session, account, target, counterparts, compare, pace } = this.#context;
    const device = counterparts.devices.get(event.object);
    const place = session.device(event.object)?.locate(event.offset);
    if (device === undefined || place === undefined || place.index === CONFIG_REGION) return false;
    pace.wait(event.time);
    account.operations++;
    const writable = (event.op & PROT_WRITE) !== 0;
    const offset = device.offset(place.index) + place.offset;
    const result = target.mmap(device.fd, offset, event.value, writable);
    const what = `mmap ${regionName(place.index)}+${hex(place.offset)}`;
    if (!compare.errno(event, what, typeof result === 'number' ? -result : 0)) return true;
    if (typeof result === 'number') return true;
    device.addMapping(place.index, result, Number(place.offset), Number(event.value), !writable);
    return true;
  }

  /** Mappings that went with munmap, whole or not at all; whether one did. */
  unmap(event: Event, gone: readonly MappedRegion[]): boolean {
    const { account, counterparts, pace } = this.#context;
    let done = false;
    if (event.errno === 0) counterparts.memoryGone(event.offset, event.offset + event.value);
    for (const { object, region, offset, start, length } of gone) {
      const mappings = counterparts.devices.get(object)?.mappings[region] ?? [];
      const first = Number(offset);
      const at = mappings.findIndex((held) => held.start === first && held.length === Number(length));
      const held = mappings[at];
      if (held === undefined) continue;
      if (start < event.offset || start + length > event.offset + event.value) {
        account.omit('a part of a mapping unmapped');
        continue;
      }
      pace.wait(event.time);
      account.operations++;
      held.mapping.unmap();
      mappings.splice(at, 1);
      done = true;
    }
    return done;
  }
}
