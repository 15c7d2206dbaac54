// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { type Event, EventKind, PayloadRole } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';
import { type Call, type CallName, type FdKind, kindOfObject, kindOfPath } from './calls.js';

const compared: ReadonlyMap<number, CallName> = new Map([
  [EventKind.OPEN, 'open'],
  [EventKind.CLOSE, 'close'],
  [EventKind.DUP, 'dup'],
  [EventKind.IOCTL, 'ioctl'],
  [EventKind.READ, 'read'],
  [EventKind.WRITE, 'write'],
  [EventKind.MMAP, 'mmap'],
  [EventKind.EVENTFD, 'eventfd'],
] as const);

/** The calls of a trace that strace sees too, in the order of the file. */
export function recordedCalls(trace: Trace): readonly Call[] {
  const calls: Call[] = [];
  for (const event of trace.events({ kinds: [...compared.keys()] })) {
    // Chunks are skipped by kind, not events.
    const name = compared.get(event.kind);
    const kind = kindOf(trace, event);
    if (name !== undefined && kind !== undefined) {
      calls.push({
        thread: trace.definitions.threads.get(event.thread)?.tid ?? 0,
        name,
        kind,
        fd: event.fd,
        request: requestOf(name, event),
        offset: offsetOf(name, kind === 'eventfd', event),
        result: event.result,
        error: event.errno === 0 ? '' : errnoName(event.errno),
        where: `event ${event.number}`,
      });
    }
  }
  return calls;
}

/** Numbers of the descriptors that were made where the shim could not see it. */
export function unseenDescriptors(trace: Trace): readonly number[] {
  return [...trace.events({ kinds: [EventKind.UNSEEN] })].flatMap(({ kind, fd }) =>
    kind === EventKind.UNSEEN ? [fd] : [],
  );
}

/** close_range, as CLOSE's op says. */
const CLOSE_RANGE = 1;

function kindOf(trace: Trace, event: Event): FdKind | undefined {
  if (event.kind === EventKind.CLOSE && event.op === CLOSE_RANGE) return undefined;
  if (event.kind === EventKind.OPEN && event.object === 0) {
    // It failed: only its path tells what it would have been.
    const path = event.payloads.find(({ role }) => role === PayloadRole.PATH);
    return path === undefined
      ? undefined
      : kindOfPath(Buffer.from(path.data).toString().replace(/\0.*$/s, ''));
  }
  return kindOfObject(trace.definitions.objects.get(event.object)?.kind ?? 0);
}

function requestOf(name: CallName, event: Event): bigint {
  return name === 'close' || name === 'dup' ? 0n : BigInt(event.op);
}

function offsetOf(name: CallName, eventfd: boolean, event: Event): bigint {
  switch (name) {
    case 'eventfd':
      return event.value;
    case 'read':
    case 'write':
      // An eventfd has no position.
      return eventfd ? 0n : BigInt.asIntN(64, event.offset);
    case 'mmap':
      return event.offset;
    case 'open':
    case 'close':
    case 'dup':
    case 'ioctl':
      return 0n;
  }
}
