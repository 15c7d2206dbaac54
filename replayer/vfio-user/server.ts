// SPDX-License-Identifier: Apache-2.0
/**
 * Serves a device to one client after another. One thread waits for messages, and lets the device do its work between them;
 * `stop` is a descriptor that ends it all once it can be read.
 */
import { closeSync, readSync } from 'node:fs';
import { EINVAL, EPROTO } from '../kernel/errno.js';
import type { DeviceSlot } from '../kernel/topology.js';
import { Libc } from '../native/libc.js';
import { Poll } from '../native/poll.js';
import { UnixSockets } from '../native/sockets.js';
import { Channel, isReply, type Message } from './channel.js';
import { ClientMemory, type MessageDma } from './client-memory.js';
import { DmaMessages } from './dma-messages.js';
import { PassedInterrupts } from './interrupts.js';
import { Command, HEADER, REGION_ACCESS } from './protocol.js';
import { ServedDevice } from './served-device.js';
import { Session } from './session.js';
import { type Capabilities, DEFAULTS, encodeVersion, MAJOR, MINOR, parseVersion } from './version.js';

/** QEMU takes no more descriptors for an answer than 16 (hw/vfio-user/proxy.h: VFIO_USER_MAX_MAX_FDS). */
const OURS: Capabilities = { ...DEFAULTS, maxMessageFds: 16, writeMultiple: true, twinSocket: true };
/** The longest message: a write of as much as is allowed. SET_IRQS of 2048 booleans is shorter. */
const LONGEST = HEADER.size + REGION_ACCESS.size + OURS.maxDataTransfer;

export class VfioUserServer {
  readonly device: ServedDevice;
  readonly #libc = new Libc();
  readonly #sockets = new UnixSockets(this.#libc);
  readonly #poll = new Poll(this.#libc);
  readonly #interrupts = new PassedInterrupts();
  readonly #memory: ClientMemory;
  #dma: DmaMessages | undefined;

  constructor(
    slot: DeviceSlot,
    readonly stop: number,
    readonly say: (line: string) => void,
  ) {
    const messages: MessageDma = {
      read: (address, into) => this.#dma?.read(address, into) ?? false,
      write: (address, from) => this.#dma?.write(address, from) ?? false,
    };
    this.#memory = new ClientMemory(OURS.maxDmaMaps, messages);
    this.device = new ServedDevice(slot, this.#memory, (fd) => this.#interrupts.file(fd));
  }

  /** Until `stop`; the listening socket is the caller's. */
  serve(listening: number): void {
    while (!this.#poll.readable([listening, this.stop], -1).includes(this.stop)) {
      const fd = this.#sockets.accept(listening);
      if (fd < 0) continue;
      const channel = new Channel(fd, this.#libc, LONGEST);
      this.say('a client connected');
      this.#serveClient(channel);
      this.#release();
      channel.close();
      this.say('the client is gone');
    }
    this.#release();
    this.device.close();
  }

  #serveClient(channel: Channel): void {
    const agreed = this.#greet(channel);
    if (agreed === undefined) return;
    const { theirs, ours, twin } = agreed;
    const commands = twin === undefined ? channel : new Channel(twin, this.#libc, LONGEST);
    const dma = new DmaMessages(commands, theirs.maxDataTransfer, this.say);
    this.#dma = dma;
    const { device } = this;
    const session = new Session(channel, {
      device,
      memory: this.#memory,
      interrupts: this.#interrupts,
      ours,
    });
    for (;;) {
      const message = dma.queued.shift() ?? this.#next(channel);
      if (message === undefined) break;
      // No command of ours waits for an answer here.
      if (isReply(message)) {
        channel.closeAll(message.fds);
        continue;
      }
      if (!session.answer(message)) break;
    }
    this.#dma = undefined;
    if (commands !== channel) commands.close();
  }

  /** Lets the device work while nothing is asked of it; undefined when the client is gone, or nobody knows what it says. */
  #next(channel: Channel): Message | undefined {
    const { kernel } = this.device;
    for (;;) {
      const watched = this.#interrupts.watched;
      const waiting = [channel.fd, this.stop, ...watched.map(({ fd }) => fd)];
      const ready = this.#poll.readable(waiting, kernel.isIdle ? -1 : 0);
      if (ready.includes(this.stop)) return undefined;
      for (const eventfd of watched) {
        if (!ready.includes(eventfd.fd)) continue;
        readSync(eventfd.fd, new Uint8Array(8));
        eventfd.fired();
      }
      if (ready.includes(channel.fd)) {
        const received = channel.receive();
        if (received === 'closed') return undefined;
        if (!('malformed' in received)) return received;
        channel.replyError(received.malformed, EINVAL);
        this.say('the client sent a message of an impossible size; it was disconnected');
        return undefined;
      }
      kernel.settle();
      // What came while the device waited for memory is older than what the socket has now.
      const queued = this.#dma?.queued.shift();
      if (queued !== undefined) return queued;
    }
  }

  /** VFIO_USER_VERSION must be the first message. */
  #greet(
    channel: Channel,
  ):
    | { readonly theirs: Capabilities; readonly ours: Capabilities; readonly twin: number | undefined }
    | undefined {
    const message = this.#next(channel);
    if (message === undefined) return undefined;
    channel.closeAll(message.fds);
    const proposal =
      message.command === Command.VERSION && !isReply(message) ? parseVersion(message.payload) : undefined;
    if (proposal === undefined) {
      channel.replyError(message, EINVAL);
      this.say('the client did not begin with a version; it was disconnected');
      return undefined;
    }
    const { major, minor, capabilities: theirs } = proposal;
    if (major !== MAJOR) {
      channel.replyError(message, EPROTO);
      this.say(
        `the client speaks version ${major}.${minor}; this server ${MAJOR}.${MINOR}; it was disconnected`,
      );
      return undefined;
    }
    const pair = theirs.twinSocket && theirs.maxMessageFds > 0 ? this.#sockets.pair() : undefined;
    const twin = typeof pair === 'object' ? pair : undefined;
    // "The capability list must be a subset of those proposed."
    const ours: Capabilities = {
      ...OURS,
      writeMultiple: theirs.writeMultiple,
      twinSocket: twin !== undefined,
      twinIndex: twin === undefined ? undefined : 0,
    };
    const sent = channel.reply(
      message,
      encodeVersion(Math.min(minor, MINOR), ours),
      twin === undefined ? [] : [twin[1]],
    );
    if (twin !== undefined) closeSync(twin[1]);
    return sent ? { theirs, ours, twin: twin?.[0] } : undefined;
  }

  /** "Client Disconnection": memory and interrupts go, the device's state stays. */
  #release(): void {
    this.device.releaseInterrupts();
    this.#interrupts.clear();
    this.#memory.clear();
  }
}
