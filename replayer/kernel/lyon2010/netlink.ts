// SPDX-License-Identifier: Apache-2.0
/**
 * How drivers hear of hot-unplug and suspend (vfio_netlink.c and the PM notifier of vfio_main.c, in the later versions of
 * 2010): they register for messages about a device, and answer those that want an answer.
 */
import {
  attribute,
  attributeNumber,
  CTRL_ATTR_FAMILY_ID,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_ATTR_HDRSIZE,
  CTRL_ATTR_MAXATTR,
  CTRL_ATTR_VERSION,
  CTRL_CMD_GETFAMILY,
  CTRL_CMD_NEWFAMILY,
  decodeNetlink,
  encodeNetlink,
  encodeNetlinkDone,
  encodeNetlinkError,
  GENL_ID_CTRL,
  LYON_ATTRIBUTES,
  LYON_FAMILY,
  LYON_FAMILY_VERSION,
  LYON_MESSAGES,
  lyonDeviceOf,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_MIN_TYPE,
  rawAttribute,
} from '../../../abi/lyon2010/netlink.js';
import { EADDRINUSE, EINVAL, ENOENT, EOPNOTSUPP } from '../errno.js';
import type { LyonDevice } from './lyon-device.js';

/** Generic netlink gives numbers out as families come. */
const FAMILY_ID = 0x19;
/** The families of this machine: what GETFAMILY finds. */
const FAMILIES = [
  { name: 'nlctrl', id: GENL_ID_CTRL, version: 2, attributes: 7 },
  { name: LYON_FAMILY, id: FAMILY_ID, version: LYON_FAMILY_VERSION, attributes: 8 },
] as const;
/** netlink_autobind(): where ports begin when the process's own number is taken. */
const LAST_PORT = -4096;
/** A reply of PM_SUSPEND_REPLY that lets the machine sleep: NOTIFY_DONE. */
const SUSPEND_DONE = 0n;

const { MSGCAP, PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC, PM_SUSPEND_REPLY } = LYON_ATTRIBUTES;

/** A socket of a driver's. */
export class NetlinkClient {
  /** What the client wants of each device. */
  readonly wants = new Map<LyonDevice, bigint>();
  /** nl_pid; 0 until the socket is bound, or used. */
  port = 0;

  constructor(
    readonly netlink: LyonNetlink,
    readonly pid: number,
    /** One datagram to the driver. */
    readonly deliver: (datagram: Uint8Array) => void,
  ) {}

  /** bind(2): at a port, 0 for one that is free. 0 or a negative errno. */
  bind(wanted: number): number {
    return this.netlink.bind(this, wanted);
  }

  /** sendmsg(2): one datagram from the driver. */
  send(datagram: Uint8Array): void {
    if (this.port === 0) this.bind(0);
    for (const message of decodeNetlink(datagram)) this.netlink.received(this, message);
  }

  close(): void {
    this.netlink.forget(this);
  }
}

export class LyonNetlink {
  readonly #devices: () => readonly LyonDevice[];
  readonly #clients = new Set<NetlinkClient>();
  #sequence = 0;
  /** Answers that a suspend still waits for; undefined when none is under way. */
  #awaited: number | undefined;
  #vetoed = false;
  /** Called at each answer to a suspend. */
  onReply: (() => void) | undefined;

  constructor(devices: () => readonly LyonDevice[]) {
    this.#devices = devices;
  }

  connect(deliver: (datagram: Uint8Array) => void, pid = 1): NetlinkClient {
    const client = new NetlinkClient(this, pid, deliver);
    this.#clients.add(client);
    return client;
  }

  /** netlink_bind() and netlink_autobind(): the process's number is the first choice for a port. */
  bind(client: NetlinkClient, wanted: number): number {
    const taken = new Set([...this.#clients].map(({ port }) => port));
    if (client.port !== 0) return wanted === 0 || wanted === client.port ? 0 : -EINVAL;
    if (wanted !== 0 && taken.has(wanted)) return -EADDRINUSE;
    let port = wanted === 0 ? client.pid : wanted;
    for (let next = LAST_PORT; taken.has(port); next--) port = next >>> 0;
    client.port = port;
    return 0;
  }

  forget(client: NetlinkClient): void {
    this.#clients.delete(client);
  }

  /**
   * netlink_rcv_skb(), genl_rcv_msg(): a request is answered when it failed, or when it asked for an answer. What is not
   * marked as a request does nothing.
   */
  received(client: NetlinkClient, message: NetlinkMessage): void {
    const isRequest = (message.flags & NLM_F_REQUEST) !== 0 && message.type >= NLMSG_MIN_TYPE;
    const errno = isRequest ? this.#request(client, message) : 0;
    if (errno !== 0 || (message.flags & NLM_F_ACK) !== 0)
      client.deliver(encodeNetlinkError(message, errno, client.port));
  }

  #request(client: NetlinkClient, message: NetlinkMessage): number {
    switch (message.type) {
      case GENL_ID_CTRL:
        return this.#control(client, message);
      case FAMILY_ID:
        return this.#vfio(client, message);
      default:
        return ENOENT;
    }
  }

  /** vfio_nl_remove(): how many drivers were told. */
  remove(device: LyonDevice): number {
    return this.#tell(device, LYON_MESSAGES.REMOVE);
  }

  /**
   * vfio_pm_suspend(): every device that is open must have a driver that is told and answers. True: nobody objects, as far
   * as it is known now; suspended() says what came of it, 5 s later at the latest.
   */
  suspend(): boolean {
    this.#vetoed = false;
    let alive = 0;
    let told = 0;
    for (const device of this.#devices()) {
      if (!device.isOpen) continue;
      alive++;
      if (this.#tell(device, LYON_MESSAGES.PM_SUSPEND) > 0) told++;
    }
    this.#awaited = told;
    return alive <= told;
  }

  /** Whether the machine may sleep: all have answered, and none refused. */
  get mayAllSleep(): boolean {
    return this.#awaited === 0 && !this.#vetoed;
  }

  /** Whether all have answered to the suspend that is under way. */
  get haveAllAnswered(): boolean {
    return this.#awaited === 0;
  }

  resume(): void {
    this.#awaited = undefined;
    for (const device of this.#devices()) if (device.isOpen) this.#tell(device, LYON_MESSAGES.PM_RESUME);
  }

  #tell(device: LyonDevice, command: number): number {
    const { segment, bus, device: slot, function: fn } = device.host.pci.address;
    const datagram = encodeNetlink({
      type: FAMILY_ID,
      sequence: ++this.#sequence,
      command,
      version: LYON_FAMILY_VERSION,
      attributes: [
        attribute(PCI_DOMAIN.type, PCI_DOMAIN.bytes, segment),
        attribute(PCI_BUS.type, PCI_BUS.bytes, bus),
        attribute(PCI_SLOT.type, PCI_SLOT.bytes, slot),
        attribute(PCI_FUNC.type, PCI_FUNC.bytes, fn),
      ],
    });
    let told = 0;
    for (const client of this.#clients) {
      if (((client.wants.get(device) ?? 0n) & (1n << BigInt(command))) === 0n) continue;
      client.deliver(datagram);
      told++;
    }
    return told;
  }

  /** ctrl_getfamily(), ctrl_dumpfamily(): which number a family has. */
  #control(client: NetlinkClient, message: NetlinkMessage): number {
    if (message.command !== CTRL_CMD_GETFAMILY) return EOPNOTSUPP;
    const tell = ({ name, id, version, attributes }: (typeof FAMILIES)[number], flags: number): void =>
      client.deliver(
        encodeNetlink({
          type: GENL_ID_CTRL,
          flags,
          sequence: message.sequence,
          port: client.port,
          command: CTRL_CMD_NEWFAMILY,
          version: 2,
          attributes: [
            rawAttribute(CTRL_ATTR_FAMILY_NAME, Buffer.from(`${name}\0`)),
            attribute(CTRL_ATTR_FAMILY_ID, 2, id),
            attribute(CTRL_ATTR_VERSION, 4, version),
            attribute(CTRL_ATTR_HDRSIZE, 4, 0),
            attribute(CTRL_ATTR_MAXATTR, 4, attributes),
          ],
        }),
      );
    if ((message.flags & NLM_F_DUMP) !== 0) {
      for (const family of FAMILIES) tell(family, NLM_F_MULTI);
      client.deliver(encodeNetlinkDone(message, client.port));
      return 0;
    }
    const wantedName = message.attributes.get(CTRL_ATTR_FAMILY_NAME);
    const wantedId = attributeNumber(message, { type: CTRL_ATTR_FAMILY_ID, bytes: 2 });
    if (wantedName === undefined && wantedId === undefined) return EINVAL;
    const name = Buffer.from(wantedName ?? [])
      .toString('latin1')
      .replace(/\0.*$/s, '');
    const found = FAMILIES.find((family) => family.name === name || BigInt(family.id) === wantedId);
    if (found === undefined) return ENOENT;
    tell(found, 0);
    return 0;
  }

  #vfio(client: NetlinkClient, message: NetlinkMessage): number {
    const device = this.#deviceOf(message);
    switch (message.command) {
      case LYON_MESSAGES.REGISTER: {
        const wanted = attributeNumber(message, MSGCAP);
        if (wanted === undefined || wanted === 0n || device === undefined) return EINVAL;
        client.wants.set(device, wanted);
        return 0;
      }
      case LYON_MESSAGES.PM_SUSPEND_REPLY: {
        const reply = attributeNumber(message, PM_SUSPEND_REPLY);
        if (reply === undefined || device === undefined || !device.isOpen) return EINVAL;
        if (reply !== SUSPEND_DONE) this.#vetoed = true;
        if (this.#awaited !== undefined && this.#awaited > 0) this.#awaited--;
        this.onReply?.();
        return 0;
      }
      // No error of the bus happens here that a driver could be asked about.
      case LYON_MESSAGES.ERROR_HANDLING_REPLY:
        return device === undefined ? EINVAL : 0;
      default:
        return EOPNOTSUPP;
    }
  }

  #deviceOf(message: NetlinkMessage): LyonDevice | undefined {
    const name = lyonDeviceOf(message);
    return this.#devices().find((device) => !device.removed && device.name === name);
  }
}
