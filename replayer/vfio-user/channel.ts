// SPDX-License-Identifier: Apache-2.0
/**
 * Whole messages on a UNIX socket, with the descriptors that come with them. Calls wait: a device's DMA is answered before
 * the device goes on, so that there is nothing for an event loop to do in between.
 */
import { decode, encode, type Values } from '../../abi/layout.js';
import type { Libc } from '../native/libc.js';
import { Poll } from '../native/poll.js';
import { UnixSockets } from '../native/sockets.js';
import { ERROR, HEADER, NO_REPLY, TYPE_COMMAND, TYPE_MASK, TYPE_REPLY } from './protocol.js';

export interface Message {
  readonly id: number;
  readonly command: number;
  readonly flags: number;
  /** An errno, of a reply that says ERROR. */
  readonly error: number;
  readonly payload: Uint8Array;
  /** The receiver's to close. */
  readonly fds: readonly number[];
}

/** `malformed`: from here on nobody knows where a message begins. */
export type Received = Message | 'closed' | { readonly malformed: Message };

const EINTR = 4;

export function isReply({ flags }: Message): boolean {
  return (flags & TYPE_MASK) === TYPE_REPLY;
}

export class Channel {
  readonly poll: Poll;
  readonly #sockets: UnixSockets;
  #lastId = 0;
  #open = true;

  constructor(
    readonly fd: number,
    readonly libc: Libc,
    /** Bytes of the longest message that is taken. */
    readonly longest: number,
  ) {
    this.poll = new Poll(libc);
    this.#sockets = new UnixSockets(libc);
  }

  close(): void {
    if (this.#open) this.libc.close(this.fd);
    this.#open = false;
  }

  closeAll(fds: readonly number[]): void {
    for (const fd of fds) this.libc.close(fd);
  }

  /** Whether something has come, or comes in time. */
  hasInput(milliseconds: number): boolean {
    return this.#open && this.poll.readable([this.fd], milliseconds).length > 0;
  }

  /** Waits for a message. */
  receive(): Received {
    const fds: number[] = [];
    const bytes = new Uint8Array(HEADER.size);
    const { id, command, size, flags, error } = this.#fill(bytes, fds)
      ? (decode(HEADER, bytes) as Values<typeof HEADER>)
      : { id: 0, command: 0, size: -1, flags: 0, error: 0 };
    if (size < 0) {
      this.closeAll(fds);
      return 'closed';
    }
    if (size < HEADER.size || size > this.longest) {
      this.closeAll(fds);
      return { malformed: { id, command, flags, error, payload: new Uint8Array(), fds: [] } };
    }
    const payload = new Uint8Array(size - HEADER.size);
    if (!this.#fill(payload, fds)) {
      this.closeAll(fds);
      return 'closed';
    }
    return { id, command, flags, error, payload, fds };
  }

  /** The message's id; false when the other side is gone. */
  send(command: number, payload: Uint8Array, fds: readonly number[] = []): number | false {
    this.#lastId = (this.#lastId + 1) & 0xffff;
    const id = this.#lastId;
    return this.#write({ id, command, flags: TYPE_COMMAND, error: 0 }, payload, fds) ? id : false;
  }

  /** Answers a command, unless it wants no answer. */
  reply(to: Message, payload: Uint8Array, fds: readonly number[] = []): boolean {
    if ((to.flags & NO_REPLY) !== 0) return true;
    return this.#write({ id: to.id, command: to.command, flags: TYPE_REPLY, error: 0 }, payload, fds);
  }

  /** "If an error occurs, the reply message must only include the reply header." */
  replyError(to: Message, errno: number): boolean {
    if ((to.flags & NO_REPLY) !== 0) return true;
    const header = { id: to.id, command: to.command, flags: TYPE_REPLY | ERROR, error: errno };
    return this.#write(header, new Uint8Array(), []);
  }

  #write(
    header: Pick<Message, 'id' | 'command' | 'flags' | 'error'>,
    payload: Uint8Array,
    fds: readonly number[],
  ): boolean {
    if (!this.#open) return false;
    const bytes = new Uint8Array(HEADER.size + payload.length);
    bytes.set(encode(HEADER, { ...header, size: bytes.length }));
    bytes.set(payload, HEADER.size);
    let done = 0;
    while (done < bytes.length) {
      // Descriptors go with the first byte.
      const result = this.#sockets.send(this.fd, bytes.subarray(done), done === 0 ? fds : []);
      if (result === -EINTR) continue;
      if (result <= 0) return false;
      done += result;
    }
    return true;
  }

  /** False at the end of the stream. */
  #fill(into: Uint8Array, fds: number[]): boolean {
    let done = 0;
    while (this.#open && done < into.length) {
      const { length, fds: more } = this.#sockets.receive(this.fd, into.subarray(done));
      if (length === -EINTR) continue;
      fds.push(...more);
      if (length <= 0) return false;
      done += length;
    }
    return this.#open;
  }
}
