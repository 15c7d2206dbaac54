// SPDX-License-Identifier: Apache-2.0
/** What a driver and the VFIO of 2010 say to each other by generic netlink. */
import { type Part, part } from '../../abi/ioctl.js';
import { errnoName } from '../../abi/linux/errno.js';
import {
  attributeNumber,
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_CMD_GETFAMILY,
  CTRL_CMD_NEWFAMILY,
  GENL_ID_CTRL,
  LYON_ATTRIBUTES,
  LYON_MESSAGES,
  lyonDeviceOf,
  type NetlinkMessage,
  NLMSG_DONE,
  NLMSG_MIN_TYPE,
  netlinkErrno,
} from '../../abi/lyon2010/netlink.js';
import { escapeText, hexBytes } from '../../abi/text.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { isPeek, netlinkMessages } from '../netlink.js';
import { payloadBytes } from '../payloads.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

const MESSAGES = new Map<number, string>(
  Object.entries(LYON_MESSAGES).map(([name, number]) => [number, name]),
);

export function describeNetlink(event: Event): Description {
  const op = event.kind === EventKind.WRITE ? 'send' : isPeek(event) ? 'peek' : 'receive';
  const messages = netlinkMessages(event);
  const bytes = payloadBytes(event, PayloadRole.DATA);
  const parts = messages.flatMap(partsOf);
  const said = parts.map(({ name, text }) => (name === 'message' ? text : `${name}=${text}`)).join(' ');
  const raw = messages.length === 0 && bytes !== undefined && event.errno === 0 ? ` ${hexBytes(bytes)}` : '';
  const text = `${op}${said === '' ? raw : ` ${said}`}`;
  return { op, text, result: event.errno === 0 ? undefined : resultText(event), parts, known: true };
}

function messageName(message: NetlinkMessage): string {
  const { type, command } = message;
  if (netlinkErrno(message) !== undefined) return 'NLMSG_ERROR';
  if (type === NLMSG_DONE) return 'NLMSG_DONE';
  if (type < NLMSG_MIN_TYPE) return `netlink message ${type}`;
  if (type === GENL_ID_CTRL) {
    if (command === CTRL_CMD_GETFAMILY) return 'CTRL_CMD_GETFAMILY';
    return command === CTRL_CMD_NEWFAMILY ? 'CTRL_CMD_NEWFAMILY' : `control command ${command}`;
  }
  const name = MESSAGES.get(command);
  return name === undefined ? `command ${command} of family ${type}` : `VFIO_MSG_${name}`;
}

function partsOf(message: NetlinkMessage): readonly Part[] {
  const name = messageName(message);
  const parts: Part[] = [part('message', name, name)];
  const add = (key: string, value: bigint | undefined, text = String(value)): void => {
    if (value !== undefined) parts.push(part(key, text, value));
  };
  const errno = netlinkErrno(message);
  if (errno !== undefined) {
    const text = errno === 0 ? '0' : errnoName(errno);
    parts.push(part('error', text, errno));
  }
  if (message.type === GENL_ID_CTRL) {
    const family = message.attributes.get(CTRL_ATTR_FAMILY_NAME);
    if (family !== undefined) {
      const text = escapeText(Buffer.from(family).toString('latin1').replace(/\0.*$/s, ''));
      parts.push(part('family', text, text));
    }
    add('id', attributeNumber(message, { type: CTRL_ATTR_FAMILY_ID, bytes: 2 }));
  } else if (message.type >= NLMSG_MIN_TYPE) {
    const device = lyonDeviceOf(message);
    if (device !== undefined) parts.push(part('device', device, device));
    const wanted = attributeNumber(message, LYON_ATTRIBUTES.MSGCAP);
    add('msgcap', wanted, wanted === undefined ? '' : capabilities(wanted));
    add('state', attributeNumber(message, LYON_ATTRIBUTES.CHANNEL_STATE));
    const { ERROR_HANDLING_REPLY, PM_SUSPEND_REPLY } = LYON_ATTRIBUTES;
    add('reply', attributeNumber(message, ERROR_HANDLING_REPLY));
    add('reply', attributeNumber(message, PM_SUSPEND_REPLY));
  }
  parts.push(part('seq', String(message.sequence), message.sequence));
  return parts;
}

/** `REMOVE|PM_SUSPEND` */
function capabilities(wanted: bigint): string {
  const names = Array.from({ length: 64 }, (_, bit) => bit)
    .filter((bit) => ((wanted >> BigInt(bit)) & 1n) === 1n)
    .map((bit) => MESSAGES.get(bit) ?? `1<<${bit}`);
  return names.length === 0 ? '0' : names.join('|');
}
