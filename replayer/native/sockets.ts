// SPDX-License-Identifier: Apache-2.0
/** UNIX sockets that carry descriptors, which Node's own can't. Answers are numbers, or negative errnos. */
import { EMSGSIZE } from '../kernel/errno.js';
import { Libc } from './libc.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const MSG_NOSIGNAL = 0x4000;
const MSG_CTRUNC = 0x08;
/** struct msghdr, struct iovec, struct cmsghdr and struct sockaddr_un of x86-64. */
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSGHDR_BYTES = 16;
const SUN_PATH_BYTES = 108;
/** SCM_MAX_FD of net/scm.h */
export const DESCRIPTORS_MAX = 253;

export interface ReceivedMessage {
  /** Bytes; 0: the other end is gone; negative: an errno. */
  readonly length: number;
  readonly fds: readonly number[];
}

const bytesOf = (length: number): Uint8Array => new Uint8Array(new ArrayBuffer(length));

export class UnixSockets {
  readonly #libc: Libc;
  readonly #socket;
  readonly #socketpair;
  readonly #bind;
  readonly #listen;
  readonly #accept;
  readonly #connect;
  readonly #sendmsg;
  readonly #recvmsg;

  constructor(libc: Libc = new Libc()) {
    this.#libc = libc;
    this.#socket = libc.function('socket', 'int', ['int', 'int', 'int']);
    this.#socketpair = libc.function('socketpair', 'int', ['int', 'int', 'int', 'void *']);
    this.#bind = libc.function('bind', 'int', ['int', 'void *', 'uint']);
    this.#listen = libc.function('listen', 'int', ['int', 'int']);
    this.#accept = libc.function('accept4', 'int', ['int', 'void *', 'void *', 'int']);
    this.#connect = libc.function('connect', 'int', ['int', 'void *', 'uint']);
    this.#sendmsg = libc.function('sendmsg', 'int64_t', ['int', 'void *', 'int']);
    this.#recvmsg = libc.function('recvmsg', 'int64_t', ['int', 'void *', 'int']);
  }

  /** Two stream sockets that are connected to each other; or a negative errno. */
  pair(): readonly [number, number] | number {
    const fds = new Int32Array(new ArrayBuffer(8));
    const result = this.#libc.result(this.#socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    return result < 0 ? result : [fds[0] as number, fds[1] as number];
  }

  /** A stream socket that is connected to a path. */
  connect(path: string): number {
    return this.#at(path, (fd, address) => this.#connect(fd, address, address.length));
  }

  /** A stream socket that listens at a path, where nothing may be yet. */
  listen(path: string, backlog = 1): number {
    return this.#at(path, (fd, address) => {
      const bound = this.#bind(fd, address, address.length);
      return bound < 0 ? bound : this.#listen(fd, backlog);
    });
  }

  #at(path: string, action: (fd: number, address: Uint8Array) => number): number {
    const name = new TextEncoder().encode(path);
    if (name.length >= SUN_PATH_BYTES) throw new RangeError(`${path}: too long for a socket`);
    const address = bytesOf(2 + name.length + 1);
    address.set([AF_UNIX, 0]);
    address.set(name, 2);
    const fd = this.#libc.result(this.#socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0) return fd;
    const result = this.#libc.result(action(fd, address));
    if (result >= 0) return fd;
    this.#libc.close(fd);
    return result;
  }

  /** Waits for who connects. */
  accept(fd: number): number {
    return this.#libc.result(this.#accept(fd, null, null, SOCK_CLOEXEC));
  }

  /** sendmsg(2). How many bytes went; never SIGPIPE. */
  send(fd: number, bytes: Uint8Array, fds: readonly number[] = []): number {
    if (fds.length > DESCRIPTORS_MAX) throw new RangeError(`${fds.length} descriptors in one message`);
    const data = bytesOf(bytes.length);
    data.set(bytes);
    const control = bytesOf(fds.length === 0 ? 0 : CMSGHDR_BYTES + fds.length * 4);
    if (fds.length > 0) {
      const view = new DataView(control.buffer);
      view.setBigUint64(0, BigInt(control.length), true);
      view.setInt32(8, SOL_SOCKET, true);
      view.setInt32(12, SCM_RIGHTS, true);
      for (const [i, held] of fds.entries()) view.setInt32(CMSGHDR_BYTES + i * 4, held, true);
    }
    return this.#libc.result(this.#sendmsg(fd, this.#message(data, control), MSG_NOSIGNAL));
  }

  /** recvmsg(2). Descriptors are close-on-exec; more than `most` of them: -EMSGSIZE, and those that came are closed. */
  receive(fd: number, into: Uint8Array, most = DESCRIPTORS_MAX): ReceivedMessage {
    const data = bytesOf(into.length);
    const control = bytesOf(CMSGHDR_BYTES + ((most * 4 + 7) & ~7));
    const message = this.#message(data, control);
    const length = this.#libc.result(this.#recvmsg(fd, message, MSG_CMSG_CLOEXEC));
    if (length < 0) return { length, fds: [] };
    into.set(data.subarray(0, length));
    const header = new DataView(message.buffer);
    const fds = descriptorsOf(control.subarray(0, Number(header.getBigUint64(40, true))));
    // The kernel gives whole pairs of descriptors the room of the padding.
    if ((header.getInt32(48, true) & MSG_CTRUNC) === 0 && fds.length <= most) return { length, fds };
    for (const received of fds) this.#libc.close(received);
    return { length: -EMSGSIZE, fds: [] };
  }

  /** struct msghdr with one struct iovec behind it. */
  #message(data: Uint8Array, control: Uint8Array): Uint8Array {
    const bytes = bytesOf(MSGHDR_BYTES + IOVEC_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(16, this.#libc.address(bytes) + BigInt(MSGHDR_BYTES), true);
    view.setBigUint64(24, 1n, true);
    if (control.length > 0) {
      view.setBigUint64(32, this.#libc.address(control), true);
      view.setBigUint64(40, BigInt(control.length), true);
    }
    if (data.length > 0) view.setBigUint64(MSGHDR_BYTES, this.#libc.address(data), true);
    view.setBigUint64(MSGHDR_BYTES + 8, BigInt(data.length), true);
    return bytes;
  }
}

function descriptorsOf(control: Uint8Array): readonly number[] {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const fds: number[] = [];
  for (let at = 0; at + CMSGHDR_BYTES <= control.length; ) {
    const size = Number(view.getBigUint64(at, true));
    if (size < CMSGHDR_BYTES || at + size > control.length) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS)
      for (let i = at + CMSGHDR_BYTES; i + 4 <= at + size; i += 4) fds.push(view.getInt32(i, true));
    at += (size + 7) & ~7;
  }
  return fds;
}
