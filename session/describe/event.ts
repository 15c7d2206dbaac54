// SPDX-License-Identifier: Apache-2.0

import { part } from '../../abi/ioctl.js';
import { hex, hexBytes } from '../../abi/text.js';
import { type Event, EventKind } from '../../traces/model.js';
import type { Session } from '../state.js';
import { describeAccess, describeTransfer } from './access.js';
import type { Description } from './description.js';
import { describeDescriptor } from './descriptor.js';
import { describeDma } from './dma.js';
import { describeIoctl } from './ioctl.js';
import { kindName } from './kinds.js';
import { describeMemory, describeMmap } from './memory.js';
import { describeProcess } from './process.js';
import { resultText } from './result.js';

/**
 * Puts an event into words. To be asked after the session has applied the event, but for those that take something
 * away (munmap, close), which are asked before: applyAndDescribe sees to it.
 */
function describe(session: Session, event: Event): Description {
  switch (event.kind) {
    case EventKind.IOCTL:
      return describeIoctl(session, event);
    case EventKind.READ:
    case EventKind.WRITE:
      return describeTransfer(session, event);
    case EventKind.LOAD:
    case EventKind.STORE:
    case EventKind.UPDATE:
      return describeAccess(session, event);
    case EventKind.MMAP:
      return describeMmap(session, event);
    case EventKind.MUNMAP:
    case EventKind.MREMAP:
    case EventKind.MPROTECT:
    case EventKind.MADVISE:
      return describeMemory(session, event);
    case EventKind.OPEN:
    case EventKind.CLOSE:
    case EventKind.DUP:
    case EventKind.LSEEK:
    case EventKind.EVENTFD:
    case EventKind.WAKE:
    case EventKind.SEND_FD:
    case EventKind.RECV_FD:
    case EventKind.UNSEEN:
      return describeDescriptor(session, event);
    case EventKind.THREAD:
    case EventKind.PROCESS:
    case EventKind.CLOCK:
    case EventKind.SIGNAL:
    case EventKind.EXIT:
    case EventKind.EXEC:
    case EventKind.FORK:
    case EventKind.LOST:
    case EventKind.SITE:
      return describeProcess(session, event);
    case EventKind.DMA:
    case EventKind.INTERRUPT:
      return describeDma(event);
    default:
      return describeUnknown(event);
  }
}

/** An event of a newer recorder. */
function describeUnknown(event: Event): Description {
  const op = kindName(event.kind);
  const parts = [
    part('op', hex(event.op), event.op),
    part('offset', hex(event.offset), event.offset),
    part('value', hex(event.value), event.value),
    ...event.payloads.map(({ role, data }) => part(`payload${role}`, hexBytes(data), hexBytes(data, 4096))),
  ];
  const text = `${op} (unknown) ${parts.map(({ name, text }) => `${name}=${text}`).join(' ')}`;
  return { op, text, result: resultText(event), parts, known: false };
}

const describedBefore: ReadonlySet<number> = new Set([EventKind.MUNMAP, EventKind.MREMAP]);

/** `applied`: the session has the event already. */
export function applyAndDescribe(session: Session, event: Event, applied = false): Description {
  if (applied) return describe(session, event);
  if (describedBefore.has(event.kind)) {
    const description = describe(session, event);
    session.apply(event);
    return description;
  }
  session.apply(event);
  return describe(session, event);
}
