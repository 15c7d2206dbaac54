// SPDX-License-Identifier: Apache-2.0
/** A driver's socket(AF_NETLINK, …, NETLINK_GENERIC) as an open file: what is written to it is one datagram. */
import { LYON_NETLINK } from '../../../abi/object-kinds.js';
import { EAGAIN, EMSGSIZE, ESPIPE } from '../errno.js';
import { OpenFile } from '../process.js';
import type { LyonNetlink, NetlinkClient } from './netlink.js';

/** netlink_sendmsg(): the usual send buffer, less 32. */
const DATAGRAM_MOST = 212_960;

export class NetlinkSocket extends OpenFile {
  readonly kind = LYON_NETLINK;
  readonly client: NetlinkClient;
  /** Where datagrams go; without it they wait for read(). */
  deliver: ((datagram: Uint8Array) => void) | undefined;
  readonly #waiting: Uint8Array[] = [];

  constructor(netlink: LyonNetlink, pid: number) {
    super();
    this.client = netlink.connect((datagram) => {
      if (this.deliver === undefined) this.#waiting.push(datagram);
      else this.deliver(datagram);
    }, pid);
  }

  override pread(): number {
    return -ESPIPE;
  }

  override pwrite(): number {
    return -ESPIPE;
  }

  /** One datagram, cut to what there is room for; never waits. */
  override read(into: Uint8Array): number {
    const datagram = this.#waiting.shift();
    if (datagram === undefined) return -EAGAIN;
    const bytes = datagram.subarray(0, into.length);
    into.set(bytes);
    return bytes.length;
  }

  override write(from: Uint8Array): number {
    if (from.length > DATAGRAM_MOST) return -EMSGSIZE;
    this.client.send(from);
    return from.length;
  }

  protected override released(): void {
    this.client.close();
  }
}
