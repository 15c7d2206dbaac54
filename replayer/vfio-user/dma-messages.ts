// SPDX-License-Identifier: Apache-2.0
import { encode, readU32 } from '../../abi/layout.js';
import { type Channel, isReply, type Message } from './channel.js';
import type { MessageDma } from './client-memory.js';
import { Command, DMA_ACCESS, ERROR } from './protocol.js';

/** A client that lets its device wait that long for memory does not know the command (QEMU 10.1 to 11.1 don't). */
const DMA_PATIENCE_MS = 2000;

/** VFIO_USER_DMA_READ and _WRITE: the device waits for the answer. */
export class DmaMessages implements MessageDma {
  /** Commands of the client's that came meanwhile. */
  readonly queued: Message[] = [];
  #deaf = false;

  constructor(
    readonly channel: Channel,
    readonly most: number,
    readonly say: (line: string) => void,
  ) {}

  read(address: bigint, into: Uint8Array): boolean {
    return this.#pieces(into.length, (at, count) => {
      const start = address + BigInt(at);
      const reply = this.#ask(Command.DMA_READ, encode(DMA_ACCESS, { address: start, count: BigInt(count) }));
      if (reply === undefined || reply.length !== DMA_ACCESS.size + count) return false;
      into.set(reply.subarray(DMA_ACCESS.size), at);
      return true;
    });
  }

  write(address: bigint, from: Uint8Array): boolean {
    return this.#pieces(from.length, (at, count) => {
      const payload = new Uint8Array(DMA_ACCESS.size + count);
      payload.set(encode(DMA_ACCESS, { address: address + BigInt(at), count: BigInt(count) }));
      payload.set(from.subarray(at, at + count), DMA_ACCESS.size);
      const reply = this.#ask(Command.DMA_WRITE, payload);
      // The count of this reply has 4 bytes in the specification, and 8 in implementations.
      return reply !== undefined && reply.length >= 12 && readU32(reply, 8) === count;
    });
  }

  #pieces(length: number, piece: (at: number, count: number) => boolean): boolean {
    if (this.most === 0) return length === 0;
    for (let at = 0; at < length; at += this.most)
      if (!piece(at, Math.min(this.most, length - at))) return false;
    return true;
  }

  #ask(command: number, payload: Uint8Array): Uint8Array | undefined {
    if (this.#deaf) return undefined;
    const id = this.channel.send(command, payload);
    if (id === false) return undefined;
    const until = Date.now() + DMA_PATIENCE_MS;
    while (this.channel.hasInput(Math.max(0, until - Date.now()))) {
      const received = this.channel.receive();
      if (received === 'closed' || 'malformed' in received) {
        this.#deaf = true;
        return undefined;
      }
      if (!isReply(received)) {
        this.queued.push(received);
        continue;
      }
      this.channel.closeAll(received.fds);
      if (received.id !== id || received.command !== command) continue;
      return (received.flags & ERROR) !== 0 ? undefined : received.payload;
    }
    this.#deaf = true;
    this.say(
      'the client does not answer when the device asks for memory that came without a descriptor; such memory is out of reach',
    );
    return undefined;
  }
}
