// SPDX-License-Identifier: Apache-2.0
/** mmap and its family. */
import { part } from '../../abi/ioctl.js';
import { advice, MREMAP_FLAGS, mapFlags, protection } from '../../abi/linux/memory.js';
import { flagNames } from '../../abi/names.js';
import { hex, size } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { payloadBytes } from '../payloads.js';
import type { Session } from '../state.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

const address = (result: bigint): string => hex(BigInt.asUintN(64, result));

export function describeMmap(session: Session, event: Event): Description {
  const prot = event.op & 0xff;
  const flags = event.op >>> 8;
  const place = session.device(event.object)?.locate(event.offset);
  const what = place === undefined ? '' : ` ${regionName(place.index)}+${hex(place.offset)}`;
  const parts = [
    part('length', size(event.value), event.value),
    part('prot', protection(prot), prot),
    part('flags', mapFlags(flags), flags),
  ];
  const wanted = payloadBytes(event, PayloadRole.IN);
  if (wanted !== undefined && wanted.length >= 8) {
    const at = new DataView(wanted.buffer, wanted.byteOffset).getBigUint64(0, true);
    if (at !== 0n) parts.push(part('address', hex(at), at));
  }
  const text = `mmap${what} ${parts.map(({ name, text }) => (name === 'address' ? `at ${text}` : text)).join(' ')}`;
  return {
    op: 'mmap',
    text,
    result: resultText(event, address),
    parts,
    known: true,
    ...(place && { region: regionName(place.index), offset: place.offset }),
  };
}

/** What of a device lies in the range: `BAR0+0x0`. Asked before the event takes it away. */
function regionsThere(session: Session, event: Event): string {
  const mappings = session.mappings.within(session.processOf(event), event.offset, event.value);
  if (mappings.length === 0) return '';
  const shown = mappings.slice(0, 4).map(({ object, region, offset, start }) => {
    const inside = event.offset > start ? event.offset - start : 0n;
    return `${session.names.name(object)} ${regionName(region)}+${hex(offset + inside)}`;
  });
  return ` (${shown.join(', ')}${mappings.length > 4 ? ', …' : ''})`;
}

export function describeMemory(session: Session, event: Event): Description {
  const range = `${hex(event.offset)} ${size(event.value)}`;
  const there = regionsThere(session, event);
  const parts = [
    part('address', hex(event.offset), event.offset),
    part('length', size(event.value), event.value),
  ];
  const make = (op: string, more: string, result = resultText(event)): Description => ({
    op,
    text: `${op} ${range}${more}${there}`,
    result,
    parts,
    known: true,
  });
  switch (event.kind) {
    case EventKind.MUNMAP:
      return make('munmap', '');
    case EventKind.MPROTECT:
      parts.push(part('prot', protection(event.op), event.op));
      return make('mprotect', ` ${protection(event.op)}`);
    case EventKind.MADVISE:
      parts.push(part('advice', advice(event.op), event.op));
      return make('madvise', ` ${advice(event.op)}`);
    default: {
      const bytes = payloadBytes(event, PayloadRole.IN);
      const length =
        bytes === undefined || bytes.length < 8
          ? undefined
          : new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
      if (length !== undefined) parts.push(part('new_length', size(length), length));
      const to = length === undefined ? '' : ` to ${size(length)}`;
      return make('mremap', `${to} ${flagNames(MREMAP_FLAGS, event.op)}`, resultText(event, address));
    }
  }
}
