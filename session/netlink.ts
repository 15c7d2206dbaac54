// SPDX-License-Identifier: Apache-2.0
/** Datagrams of generic netlink, as sends and receives of a recording hold them. */
import { decodeNetlink, type NetlinkMessage } from '../abi/lyon2010/netlink.js';
import { type Event, EventKind, PayloadRole } from '../traces/model.js';
import { payloadBytes } from './payloads.js';

/** MSG_PEEK of sys/socket.h: the datagram stays where it is. */
const MSG_PEEK = 0x2n;

export function isPeek(event: Event): boolean {
  return event.kind === EventKind.READ && (event.offset & MSG_PEEK) !== 0n;
}

/** The messages of the datagram that a send or receive moved; none where it failed, or was too short for one. */
export function netlinkMessages(event: Event): readonly NetlinkMessage[] {
  const bytes = payloadBytes(event, PayloadRole.DATA);
  return bytes === undefined || event.errno !== 0 ? [] : decodeNetlink(bytes);
}
