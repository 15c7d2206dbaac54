// SPDX-License-Identifier: Apache-2.0
/**
 * Generic netlink as the later versions of 2010 used it to tell drivers of hot-unplug, errors and suspend: the family
 * "VFIO" (include/linux/vfio.h of V4 to V6), and as much of netlink itself as that takes (linux/netlink.h, linux/genetlink.h).
 */

export const LYON_FAMILY = 'VFIO';
export const LYON_FAMILY_VERSION = 1;

/** VFIO_MSG_…: to the driver up to PM_RESUME, from the driver behind it. */
export const LYON_MESSAGES = {
  REMOVE: 1,
  ERROR_DETECTED: 2,
  MMIO_ENABLED: 3,
  LINK_RESET: 4,
  SLOT_RESET: 5,
  ERROR_RESUME: 6,
  PM_SUSPEND: 7,
  PM_RESUME: 8,
  REGISTER: 9,
  ERROR_HANDLING_REPLY: 10,
  PM_SUSPEND_REPLY: 11,
} as const;

/** VFIO_ATTR_…, with the bytes of each. */
export const LYON_ATTRIBUTES = {
  /** A bit for each message that the driver wants: 1 << its number. */
  MSGCAP: { type: 1, bytes: 8 },
  PCI_DOMAIN: { type: 2, bytes: 4 },
  PCI_BUS: { type: 3, bytes: 2 },
  PCI_SLOT: { type: 4, bytes: 1 },
  PCI_FUNC: { type: 5, bytes: 1 },
  CHANNEL_STATE: { type: 6, bytes: 4 },
  ERROR_HANDLING_REPLY: { type: 7, bytes: 4 },
  PM_SUSPEND_REPLY: { type: 8, bytes: 4 },
} as const;

/** How long the kernel waits for an answer, ms. */
export const LYON_ERROR_REPLY_MS = 3000;
export const LYON_SUSPEND_REPLY_MS = 5000;

/** The protocol of socket(AF_NETLINK, …). */
export const NETLINK_GENERIC = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
/** Numbers below it are netlink's own messages. */
export const NLMSG_MIN_TYPE = 0x10;
export const GENL_ID_CTRL = 0x10;
export const CTRL_CMD_NEWFAMILY = 1;
export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;
export const CTRL_ATTR_VERSION = 3;
export const CTRL_ATTR_HDRSIZE = 4;
export const CTRL_ATTR_MAXATTR = 5;
export const NLM_F_REQUEST = 1;
export const NLM_F_MULTI = 2;
export const NLM_F_ACK = 4;
/** NLM_F_ROOT | NLM_F_MATCH */
export const NLM_F_DUMP = 0x300;

const HEADER = 16;
const GENERIC_HEADER = 4;
const ATTRIBUTE_HEADER = 4;
const TYPE_MASK = 0x3fff;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Of the socket: nlmsg_pid. */
  readonly port: number;
  /** struct genlmsghdr; an NLMSG_ERROR has none. */
  readonly command: number;
  readonly version: number;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
  /** All bytes of it. */
  readonly bytes: Uint8Array;
}

const padded = (length: number) => (length + 3) & ~3;

/** Every whole message of a datagram; what is cut off or malformed at its end is left out. */
export function decodeNetlink(datagram: Uint8Array): readonly NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER + GENERIC_HEADER <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER + GENERIC_HEADER || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      command: view.getUint8(at + HEADER),
      version: view.getUint8(at + HEADER + 1),
      attributes: attributesOf(datagram.subarray(at + HEADER + GENERIC_HEADER, at + length)),
      bytes: datagram.subarray(at, at + length),
    });
    at += padded(length);
  }
  return messages;
}

function attributesOf(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const attributes = new Map<number, Uint8Array>();
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, true) & TYPE_MASK;
    attributes.set(type, bytes.subarray(at + ATTRIBUTE_HEADER, at + length));
    at += padded(length);
  }
  return attributes;
}

/** Little-endian; undefined when the attribute is missing or shorter than `bytes`. */
export function attributeNumber(
  message: NetlinkMessage,
  { type, bytes }: { readonly type: number; readonly bytes: number },
): bigint | undefined {
  const held = message.attributes.get(type);
  if (held === undefined || held.length < bytes) return undefined;
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(held[i] as number);
  return value;
}

/** Which device a message is about, as an address like 0000:00:04.0; undefined when it does not say all of it. */
export function lyonDeviceOf(message: NetlinkMessage): string | undefined {
  const { PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC } = LYON_ATTRIBUTES;
  const [segment, bus, slot, fn] = [PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC].map((one) =>
    attributeNumber(message, one),
  );
  if (segment === undefined || bus === undefined || slot === undefined || fn === undefined) return undefined;
  const hex = (value: bigint, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${hex(segment, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${fn}`;
}

/** Writes another address like 0000:00:04.0 into the bytes of a message that names a device. */
export function setLyonDevice(message: NetlinkMessage, address: string): void {
  const { PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC } = LYON_ATTRIBUTES;
  const numbers = address.split(/[:.]/).map((text) => Number.parseInt(text, 16));
  for (const [i, { type, bytes }] of [PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC].entries()) {
    const held = message.attributes.get(type);
    for (let at = 0; held !== undefined && at < bytes; at++)
      held[at] = ((numbers[i] ?? 0) >> (8 * at)) & 0xff;
  }
}

export function attribute(type: number, bytes: number, value: number | bigint): Uint8Array {
  const content = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) content[i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
  return rawAttribute(type, content);
}

export function rawAttribute(type: number, content: Uint8Array): Uint8Array {
  const whole = new Uint8Array(padded(ATTRIBUTE_HEADER + content.length));
  const view = new DataView(whole.buffer);
  view.setUint16(0, ATTRIBUTE_HEADER + content.length, true);
  view.setUint16(2, type, true);
  whole.set(content, ATTRIBUTE_HEADER);
  return whole;
}

export interface Outgoing {
  readonly type: number;
  readonly flags?: number;
  readonly sequence: number;
  readonly port?: number;
  readonly command: number;
  readonly version?: number;
  readonly attributes: readonly Uint8Array[];
}

export function encodeNetlink(message: Outgoing): Uint8Array {
  const { type, flags = 0, sequence, port = 0, command, version = 1, attributes } = message;
  const length = attributes.reduce((sum, one) => sum + one.length, HEADER + GENERIC_HEADER);
  const bytes = new Uint8Array(length);
  header(bytes, length, type, flags, sequence, port);
  bytes[HEADER] = command;
  bytes[HEADER + 1] = version;
  let at = HEADER + GENERIC_HEADER;
  for (const one of attributes) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}

/**
 * NLMSG_ERROR: 0 acknowledges; what it is about follows (struct nlmsgerr), after an acknowledgement its header alone
 * (netlink_ack).
 */
export function encodeNetlinkError(about: NetlinkMessage, errno: number, port: number): Uint8Array {
  const kept = errno === 0 ? about.bytes.subarray(0, HEADER) : about.bytes;
  const bytes = new Uint8Array(HEADER + 4 + kept.length);
  header(bytes, bytes.length, NLMSG_ERROR, 0, about.sequence, port);
  new DataView(bytes.buffer).setInt32(HEADER, -errno, true);
  bytes.set(kept, HEADER + 4);
  return bytes;
}

/** The errno of an NLMSG_ERROR, 0 for an acknowledgement; undefined for any other message. */
export function netlinkErrno({ type, bytes }: NetlinkMessage): number | undefined {
  if (type !== NLMSG_ERROR) return undefined;
  return -new DataView(bytes.buffer, bytes.byteOffset).getInt32(HEADER, true);
}

/** NLMSG_DONE: the end of an answer in several parts. */
export function encodeNetlinkDone(about: NetlinkMessage, port: number): Uint8Array {
  const bytes = new Uint8Array(HEADER + 4);
  header(bytes, bytes.length, NLMSG_DONE, NLM_F_MULTI, about.sequence, port);
  return bytes;
}

function header(
  bytes: Uint8Array,
  length: number,
  type: number,
  flags: number,
  sequence: number,
  port: number,
): void {
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  view.setUint32(12, port, true);
}
