// SPDX-License-Identifier: Apache-2.0
/** Generic netlink of the interface of 2010: what the driver said is said again, and the answers are compared. */

import { errnoName } from '../../abi/linux/errno.js';
import {
  decodeNetlink,
  GENL_ID_CTRL,
  LYON_MESSAGES,
  lyonDeviceOf,
  type NetlinkMessage,
  NLMSG_MIN_TYPE,
  netlinkErrno,
  setLyonDevice,
} from '../../abi/lyon2010/netlink.js';
import { isPeek } from '../../session/netlink.js';
import { payloadBytes } from '../../session/payloads.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import type { ReplayContext } from './context.js';

const ROOM = 4096;

export class NetlinkSockets {
  readonly #context: ReplayContext;

  constructor(context: ReplayContext) {
    this.#context = context;
  }

  /** A send or a receive; whether it was made. */
  transfer(event: Event): boolean {
    const { account, counterparts, pace, target } = this.#context;
    const fd = counterparts.fds.get(event.object);
    const bytes = payloadBytes(event, PayloadRole.DATA);
    // What waited in vain, or only looked, did nothing.
    if (event.errno !== 0 || bytes === undefined || isPeek(event)) return false;
    if (fd === undefined || target.write === undefined || target.read === undefined) {
      account.omit('netlink, which the target does not have');
      return false;
    }
    if (event.kind === EventKind.READ && decodeNetlink(bytes).some(isOfHost)) {
      account.omit('what the host did to the device (REMOVE, suspend)');
      return false;
    }
    pace.wait(event.time);
    account.operations++;
    if (event.kind === EventKind.WRITE) {
      target.write(fd, this.#forTarget(bytes));
      target.settle();
      return true;
    }
    const into = new Uint8Array(ROOM);
    const got = target.read(fd, into);
    this.#compare(event, textOf(bytes), got < 0 ? errnoName(-got) : textOf(into.subarray(0, got)));
    return true;
  }

  #compare(event: Event, recorded: string, seen: string): void {
    const { account } = this.#context;
    account.compare();
    if (recorded !== seen) account.diverge('value', event.number, event.object, 'netlink', recorded, seen);
  }

  /** About the target's device, where it was about the recorded one. */
  #forTarget(bytes: Uint8Array): Uint8Array {
    const { target, trace } = this.#context;
    const recorded = new Set([...trace.definitions.devices.values()].map(({ bdf }) => bdf));
    const copy = bytes.slice();
    for (const message of decodeNetlink(copy)) {
      const device = lyonDeviceOf(message);
      if (device !== undefined && recorded.has(device)) setLyonDevice(message, target.bdf);
    }
    return copy;
  }
}

/** Nobody asked for it. */
function isOfHost({ type, command }: NetlinkMessage): boolean {
  return type >= NLMSG_MIN_TYPE && type !== GENL_ID_CTRL && command < LYON_MESSAGES.REGISTER;
}

function textOf(bytes: Uint8Array): string {
  return decodeNetlink(bytes)
    .map((message) => {
      const errno = netlinkErrno(message);
      if (errno === undefined) return `message ${message.type} command ${message.command}`;
      return errno === 0 ? 'acknowledged' : errnoName(errno);
    })
    .join(', ');
}
