// SPDX-License-Identifier: Apache-2.0
/** Descriptors: how they are born, copied, waited for and closed. */
import { type Part, part } from '../../abi/ioctl.js';
import { EVENTFD_FLAGS, openFlags, WHENCE } from '../../abi/linux/open.js';
import { pollEvents } from '../../abi/linux/poll.js';
import { flagNames } from '../../abi/names.js';
import { escapeText, hex, textOf } from '../../abi/text.js';
import { SIM_NETLINK } from '../../abi/wire/sim.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { payloadOf } from '../payloads.js';
import type { Session } from '../state.js';
import { interruptText } from './access.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

const dups = ['dup', 'dup2', 'dup3', 'fcntl(F_DUPFD)', 'fcntl(F_DUPFD_CLOEXEC)', 'pidfd_getfd'] as const;
const waits = ['poll', 'ppoll', 'select', 'pselect', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2'] as const;

const fd = (result: bigint): string => `fd ${result}`;

function said(op: string, text: string, parts: readonly Part[], result?: string): Description {
  return { op, text: text === '' ? op : `${op} ${text}`, result, parts, known: true };
}

function pathOf(session: Session, event: Event): string {
  const recorded = payloadOf(event, PayloadRole.PATH);
  return recorded === undefined
    ? escapeText(session.definitions.objects.get(event.object)?.path ?? '')
    : textOf(recorded);
}

export function describeDescriptor(session: Session, event: Event): Description {
  switch (event.kind) {
    case EventKind.OPEN: {
      const path = pathOf(session, event);
      const flags = openFlags(event.op);
      if (path === SIM_NETLINK) {
        const family = 'AF_NETLINK NETLINK_GENERIC';
        return said('socket', family, [part('family', family, family)], resultText(event, fd));
      }
      return said(
        'open',
        `${path} ${flags}`,
        [part('path', path, path), part('flags', flags, event.op)],
        resultText(event, fd),
      );
    }
    case EventKind.CLOSE: {
      const last = Number(BigInt.asUintN(32, event.offset));
      if (event.op !== 1) return said('close', `fd ${event.fd}`, [], resultText(event));
      const end = last === 0xffff_ffff ? 'last' : String(last);
      return said('close_range', `fd ${event.fd} to ${end}`, [part('last', end, last)], resultText(event));
    }
    case EventKind.DUP: {
      const wanted = Number(BigInt.asIntN(32, event.value));
      const to = event.op === 0 || event.op === 5 ? '' : ` to ${wanted}`;
      return said(
        dups[event.op] ?? 'dup',
        `fd ${event.fd}${to}`,
        [part('wanted', String(wanted), wanted)],
        resultText(event, fd),
      );
    }
    case EventKind.LSEEK: {
      const whence = WHENCE[Number(event.value)] ?? String(event.value);
      const offset = BigInt.asIntN(64, event.offset);
      return said(
        'lseek',
        `${hex(offset)} ${whence}`,
        [part('offset', hex(offset), offset), part('whence', whence, whence)],
        resultText(event, (at) => hex(at)),
      );
    }
    case EventKind.EVENTFD: {
      const flags = flagNames(EVENTFD_FLAGS, event.op);
      return said(
        'eventfd',
        `counter=${event.value} ${flags}`,
        [part('counter', String(event.value), event.value), part('flags', flags, event.op)],
        resultText(event, fd),
      );
    }
    case EventKind.WAKE: {
      const call = waits[event.op] ?? `wait ${event.op}`;
      const events = pollEvents(Number(BigInt.asUintN(32, event.value)));
      const interrupt = interruptText(session, event.object);
      return said(
        'wake',
        `${call} ${events}${interrupt === undefined ? '' : ` ${interrupt}`}`,
        [
          part('call', call, call),
          part('events', events, Number(BigInt.asUintN(32, event.value))),
          ...(interrupt === undefined ? [] : [part('interrupt', interrupt, interrupt)]),
        ],
        resultText(event),
      );
    }
    case EventKind.SEND_FD:
      return said(
        'send-fd',
        `fd ${event.fd} socket=${event.value}`,
        [part('socket', String(event.value), event.value)],
        resultText(event),
      );
    case EventKind.RECV_FD:
      return said(
        'recv-fd',
        `socket=${event.value}`,
        [part('socket', String(event.value), event.value)],
        `fd ${event.fd}`,
      );
    default: {
      const path = pathOf(session, event);
      return said('unseen', `fd ${event.fd} ${path} (opened where the recorder could not see it)`, [
        part('path', path, path),
      ]);
    }
  }
}
