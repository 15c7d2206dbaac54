// SPDX-License-Identifier: Apache-2.0
/** A connection to somebody's server: commands that wait for their replies, and the server's own DMA commands meanwhile. */
import { decode, encode, type Values } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import { UserError } from '../../abi/user-error.js';
import { EFAULT, EINVAL, EIO } from '../kernel/errno.js';
import type { Libc } from '../native/libc.js';
import { Readiness } from '../native/readiness.js';
import { UnixSockets } from '../native/sockets.js';
import { Channel, isReply, type Message } from './channel.js';
import type { MessageDma } from './client-memory.js';
import { Command, commandName, DMA_ACCESS, ERROR, HEADER, REGION_ACCESS } from './protocol.js';
import { type Capabilities, DEFAULTS, encodeVersion, MAJOR, MINOR, parseVersion } from './version.js';

const OURS: Capabilities = { ...DEFAULTS, maxMessageFds: 16, twinSocket: true };
const LONGEST = HEADER.size + REGION_ACCESS.size + OURS.maxDataTransfer;
/** A server that says nothing for so long is gone: the driver must not wait for ever. */
const PATIENCE_MS = 10_000;

/** What an answered command brought: a payload, or a negative errno. Descriptors are nobody's here, and closed. */
export type Answer = Uint8Array | number;

export class ServerConnection {
  readonly #main: Channel;
  #twin: Channel | undefined;
  #theirs: Capabilities = DEFAULTS;
  readonly readiness: Readiness;
  #lost = false;
  /** The server's DMA, once there is a device that answers for memory. */
  dma: MessageDma | undefined;
  /** Called once, when the server is gone. */
  onLoss: (why: string) => void = () => undefined;

  constructor(
    readonly libc: Libc,
    readonly path: string,
  ) {
    const fd = connect(libc, path);
    this.#main = new Channel(fd, libc, LONGEST);
    this.readiness = new Readiness(libc);
    try {
      this.#negotiate();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get theirs(): Capabilities {
    return this.#theirs;
  }

  /** Only now: before that nobody could answer for memory. */
  listen(): void {
    if (this.#twin === undefined) {
      this.readiness.add(this.#main.fd, () => this.#drain(this.#main));
      return;
    }
    const twin = this.#twin;
    this.readiness.add(twin.fd, () => this.#drain(twin));
    this.readiness.addHangUp(this.#main.fd, () => this.#lose('it hung up'));
  }

  /** Waits for the reply; -EIO when the server is gone. */
  ask(command: number, payload: Uint8Array, fds: readonly number[] = []): Answer {
    if (this.#lost) return -EIO;
    const id = this.#main.send(command, payload, fds);
    if (id === false) return this.#lose('it hung up');
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const ready = this.#main.poll.readable(this.#descriptors(), Math.max(0, until - Date.now()));
      if (ready.length === 0) return this.#lose(`it does not answer ${commandName(command)}`);
      if (this.#twin !== undefined && ready.includes(this.#twin.fd)) this.#serveOne(this.#twin);
      if (!ready.includes(this.#main.fd)) continue;
      const message = this.#receive(this.#main);
      if (message === undefined) return -EIO;
      if (!isReply(message)) {
        this.#serve(this.#main, message);
        continue;
      }
      this.#main.closeAll(message.fds);
      if (message.id !== id || message.command !== command) continue;
      if ((message.flags & ERROR) === 0) return message.payload;
      return message.error > 0 ? -message.error : -EIO;
    }
  }

  close(): void {
    this.#lost = true;
    this.readiness.close();
    this.#main.close();
    this.#twin?.close();
  }

  #descriptors(): readonly number[] {
    return this.#twin === undefined ? [this.#main.fd] : [this.#main.fd, this.#twin.fd];
  }

  #negotiate(): void {
    const id = this.#main.send(Command.VERSION, encodeVersion(MINOR, OURS));
    const inTime = id !== false && this.#main.hasInput(PATIENCE_MS);
    const message = inTime ? this.#receive(this.#main) : undefined;
    const mistake = (what: string): UserError => {
      this.#main.closeAll(message?.fds ?? []);
      return new UserError(`vfio-user:${this.path}: ${what}`);
    };
    if (message === undefined)
      throw mistake('whoever listens there does not answer as a vfio-user server does');
    if (!isReply(message) || message.id !== id || message.command !== Command.VERSION)
      throw mistake('the answer to VFIO_USER_VERSION is none');
    if ((message.flags & ERROR) !== 0)
      throw mistake(`the server refuses VFIO_USER_VERSION: ${errnoName(message.error)}`);
    const proposal = parseVersion(message.payload);
    if (proposal === undefined) throw mistake('the answer to VFIO_USER_VERSION is malformed');
    if (proposal.major !== MAJOR || proposal.minor > MINOR)
      throw mistake(
        `the server wants version ${proposal.major}.${proposal.minor}; there is ${MAJOR}.${MINOR} here`,
      );
    this.#theirs = proposal.capabilities;
    if (proposal.capabilities.twinSocket) {
      const index = proposal.capabilities.twinIndex ?? -1;
      const twin = message.fds[index];
      if (twin === undefined) throw mistake('the server speaks of a twin socket, and sends none');
      this.#twin = new Channel(twin, this.libc, LONGEST);
      this.#main.closeAll(message.fds.filter((_, i) => i !== index));
    } else this.#main.closeAll(message.fds);
  }

  /** What has come while nobody waited. */
  #drain(channel: Channel): void {
    while (!this.#lost && channel.hasInput(0)) this.#serveOne(channel);
  }

  #serveOne(channel: Channel): void {
    const message = this.#receive(channel);
    if (message === undefined) return;
    if (isReply(message)) channel.closeAll(message.fds);
    else this.#serve(channel, message);
  }

  #receive(channel: Channel): Message | undefined {
    const received = channel.receive();
    if (received === 'closed') {
      this.#lose('it hung up');
      return undefined;
    }
    if ('malformed' in received) {
      this.#lose('it sent a message of an impossible size');
      return undefined;
    }
    return received;
  }

  /** VFIO_USER_DMA_READ and _WRITE are all that a server may ask. */
  #serve(channel: Channel, message: Message): void {
    channel.closeAll(message.fds);
    const answer = this.#dmaAnswer(message);
    if (typeof answer === 'number') channel.replyError(message, -answer);
    else channel.reply(message, answer);
  }

  #dmaAnswer({ command, payload }: Message): Answer {
    if ((command !== Command.DMA_READ && command !== Command.DMA_WRITE) || payload.length < DMA_ACCESS.size)
      return -EINVAL;
    const access = decode(DMA_ACCESS, payload) as Values<typeof DMA_ACCESS>;
    const { address, count } = access;
    if (count > BigInt(OURS.maxDataTransfer)) return -EINVAL;
    const bytes = Number(count);
    if (command === Command.DMA_READ) {
      if (payload.length !== DMA_ACCESS.size) return -EINVAL;
      const reply = new Uint8Array(DMA_ACCESS.size + bytes);
      reply.set(encode(DMA_ACCESS, access));
      return this.dma?.read(address, reply.subarray(DMA_ACCESS.size)) === true ? reply : -EFAULT;
    }
    if (payload.length !== DMA_ACCESS.size + bytes) return -EINVAL;
    return this.dma?.write(address, payload.subarray(DMA_ACCESS.size)) === true
      ? encode(DMA_ACCESS, access)
      : -EFAULT;
  }

  #lose(why: string): number {
    if (!this.#lost) {
      this.#lost = true;
      for (const fd of this.#descriptors()) this.readiness.remove(fd);
      this.onLoss(why);
    }
    return -EIO;
  }
}

function connect(libc: Libc, path: string): number {
  let fd: number;
  try {
    fd = new UnixSockets(libc).connect(path);
  } catch (error) {
    throw error instanceof RangeError ? new UserError(`vfio-user:${error.message}`) : error;
  }
  if (fd < 0) throw new UserError(`vfio-user:${path}: nobody can be reached there: ${errnoName(-fd)}`);
  return fd;
}
