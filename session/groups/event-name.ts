// SPDX-License-Identifier: Apache-2.0
/** What the events of a group are, in words that stay the same from event to event: no value is in them. */
import { findIoctl } from '../../abi/ioctls.js';
import { EVENTFD, isDevice, LYON_NETLINK } from '../../abi/object-kinds.js';
import { hex } from '../../abi/text.js';
import { CONFIG_REGION, regionName } from '../../abi/vfio/regions.js';
import type { EventBatch } from '../../traces/columns.js';
import { EventKind } from '../../traces/model.js';
import { kindName } from '../describe/kinds.js';
import type { InterruptRoute } from '../interrupts.js';
import type { Session } from '../state.js';

export interface EventName {
  readonly kind: number;
  readonly object: number;
  /** `VFIO_IOMMU_MAP_DMA`, `config read`, `BAR0 store`, `eventfd read`, `wake`, `munmap`. */
  readonly operation: string;
  /** Of an access to a region; -1 elsewhere. */
  readonly region: number;
  /** Within the region; elsewhere as recorded. */
  readonly offset: bigint;
  /** Bytes that an access asks for; 0 where that means nothing. */
  readonly width: number;
  /** Empty where none is known. */
  readonly register: string;
  /** How a load, store or update was caught; 0 elsewhere. */
  readonly tier: number;
  /** The interrupt that an eventfd stands for. */
  readonly route: InterruptRoute | undefined;
}

const ACCESSES: Readonly<Record<number, string>> = {
  [EventKind.LOAD]: 'load',
  [EventKind.STORE]: 'store',
  [EventKind.UPDATE]: 'update',
};
/** Offsets beyond this don't fit a Number, and no register is there. */
const LAST_NAMED = 0xffff_ffffn;

export function isAccess(kind: number): boolean {
  return kind === EventKind.LOAD || kind === EventKind.STORE || kind === EventKind.UPDATE;
}

/** `row`: one of the group. */
export function nameEvent(session: Session, batch: EventBatch, row: number): EventName {
  const kind = batch.kind[row] as number;
  const object = batch.object[row] as number;
  const op = batch.op[row] as number;
  const offset = batch.offset[row] as bigint;
  const base = { kind, object, region: -1, offset, width: 0, register: '', tier: 0, route: undefined };
  if (isAccess(kind)) {
    const region = op & 0xff;
    const width = (op >>> 8) & 0xff;
    return {
      ...base,
      operation: `${regionName(region)} ${ACCESSES[kind]}`,
      region,
      width,
      register: registerAt(session, object, region, offset),
      tier: (op >>> 16) & 0xff,
    };
  }
  const objectKind = session.names.kind(object);
  switch (kind) {
    case EventKind.IOCTL:
      return { ...base, operation: findIoctl(objectKind, op)?.name ?? `ioctl ${hex(op)}` };
    case EventKind.READ:
    case EventKind.WRITE: {
      const verb = kind === EventKind.READ ? 'read' : 'write';
      if (isDevice(objectKind)) {
        const place = session.device(object)?.locate(offset);
        if (place === undefined) return { ...base, operation: `device ${verb}`, width: op };
        const { index: region, offset: within } = place;
        return {
          ...base,
          operation: `${region === CONFIG_REGION ? 'config' : regionName(region)} ${verb}`,
          region,
          offset: within,
          width: op,
          register: registerAt(session, object, region, within),
        };
      }
      if (objectKind === EVENTFD)
        return { ...base, operation: `eventfd ${verb}`, route: session.interrupts.of(object) };
      if (objectKind === LYON_NETLINK)
        return { ...base, operation: `netlink ${kind === EventKind.READ ? 'receive' : 'send'}` };
      return { ...base, operation: `file ${verb}`, width: op };
    }
    case EventKind.WAKE:
      return { ...base, operation: 'wake', route: session.interrupts.of(object) };
    default:
      return { ...base, operation: kindName(kind) };
  }
}

function registerAt(session: Session, object: number, region: number, offset: bigint): string {
  if (offset > LAST_NAMED) return '';
  return session.device(object)?.lookup(region)(Number(offset))?.name ?? '';
}
