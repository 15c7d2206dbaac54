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
  encodeNetlinkError,
  GENL_ID_CTRL,
  LYON_ATTRIBUTES,
  LYON_FAMILY,
  LYON_FAMILY_VERSION,
  LYON_MESSAGES,
  type NetlinkMessage,
  NLM_F_ACK,
  rawAttribute,
} from '../../../abi/lyon2010/netlink.js';
import { EINVAL, ENOENT, EOPNOTSUPP } from '../errno.js';
import type { LyonDevice } from './lyon-device.js';

/** Generic netlink gives numbers out as families come. */
const FAMILY_ID = 0x19;
/** A reply of PM_SUSPEND_REPLY that lets the machine sleep: NOTIFY_DONE. */
const SUSPEND_DONE = 0n;

const { MSGCAP, PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC, PM_SUSPEND_REPLY } = LYON_ATTRIBUTES;

/** A socket of a driver's. */
export class NetlinkClient {
  /** What the client wants of each device. */
  readonly wants = new Map<LyonDevice, bigint>();

  constructor(
    readonly netlink: LyonNetlink,
    readonly port: number,
    /** One datagram to the driver. */
    readonly deliver: (datagram: Uint8Array) => void,
  ) {}

  /** sendmsg(2): one datagram from the driver. */
  send(datagram: Uint8Array): void {
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
  #lastPort = 0;
  /** Answers that a suspend still waits for; undefined when none is under way. */
  #awaited: number | undefined;
  #vetoed = false;

  constructor(devices: () => readonly LyonDevice[]) {
    this.#devices = devices;
  }

  connect(deliver: (datagram: Uint8Array) => void): NetlinkClient {
    const client = new NetlinkClient(this, ++this.#lastPort, deliver);
    this.#clients.add(client);
    return client;
  }

  forget(client: NetlinkClient): void {
    this.#clients.delete(client);
  }

  /** Of the driver's messages each is answered when it failed, or when it asked for an answer. */
  received(client: NetlinkClient, message: NetlinkMessage): void {
    const errno =
      message.type === GENL_ID_CTRL
        ? this.#control(client, message)
        : message.type === FAMILY_ID
          ? this.#vfio(client, message)
          : ENOENT;
    if (errno !== 0 || (message.flags & NLM_F_ACK) !== 0) client.deliver(encodeNetlinkError(message, errno));
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

  /** ctrl_getfamily(): which number the family has. */
  #control(client: NetlinkClient, message: NetlinkMessage): number {
    if (message.command !== CTRL_CMD_GETFAMILY) return EOPNOTSUPP;
    const name = Buffer.from(message.attributes.get(CTRL_ATTR_FAMILY_NAME) ?? []).toString('latin1');
    if (name.replace(/\0.*$/s, '') !== LYON_FAMILY) return ENOENT;
    client.deliver(
      encodeNetlink({
        type: GENL_ID_CTRL,
        sequence: message.sequence,
        port: message.port,
        command: CTRL_CMD_NEWFAMILY,
        version: 2,
        attributes: [
          rawAttribute(CTRL_ATTR_FAMILY_NAME, Buffer.from(`${LYON_FAMILY}\0`)),
          attribute(CTRL_ATTR_FAMILY_ID, 2, FAMILY_ID),
          attribute(CTRL_ATTR_VERSION, 4, LYON_FAMILY_VERSION),
          attribute(CTRL_ATTR_HDRSIZE, 4, 0),
          attribute(CTRL_ATTR_MAXATTR, 4, Object.keys(LYON_ATTRIBUTES).length),
        ],
      }),
    );
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
    const numbers = [PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC].map((one) => attributeNumber(message, one));
    return this.#devices().find(({ host: { pci }, removed }) => {
      const { segment, bus, device, function: fn } = pci.address;
      return !removed && [segment, bus, device, fn].every((number, i) => numbers[i] === BigInt(number));
    });
  }
}
