// SPDX-License-Identifier: Apache-2.0
/** One client's commands, and what is answered. What they mean: docs/interop/vfio-user.rst of QEMU, section by section. */
import { decode, encode, readU64, type Values } from '../../abi/layout.js';
import { IRQ_INFO } from '../../abi/vfio/irqs.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { EINVAL, EMSGSIZE, ENOTTY, EOPNOTSUPP } from '../kernel/errno.js';
import type { Channel, Message } from './channel.js';
import type { ClientMemory } from './client-memory.js';
import type { PassedInterrupts } from './interrupts.js';
import {
  Command,
  FEATURE,
  REGION_ACCESS,
  REGION_IO_FDS,
  SINGLE_WRITE,
  USER_DEVICE_INFO_BYTES,
} from './protocol.js';
import type { ServedDevice } from './served-device.js';
import type { Capabilities } from './version.js';

/** What is answered: a payload, or a negative errno. */
type Answer = Uint8Array | number;

export interface SessionParts {
  readonly device: ServedDevice;
  readonly memory: ClientMemory;
  readonly interrupts: PassedInterrupts;
  readonly ours: Capabilities;
}

const NOTHING = new Uint8Array();
const FEATURE_GET = 1 << 16;
const FEATURE_SET = 1 << 17;
const FEATURE_PROBE = 1 << 18;

/** Which commands may bring descriptors. */
const TAKES_FDS: ReadonlySet<number> = new Set([Command.DMA_MAP, Command.DEVICE_SET_IRQS]);

export class Session {
  constructor(
    readonly channel: Channel,
    readonly parts: SessionParts,
  ) {}

  /** False when the client is gone. */
  answer(message: Message): boolean {
    const { fds } = message;
    const tooMany = fds.length > this.parts.ours.maxMessageFds;
    const unasked = fds.length > 0 && !TAKES_FDS.has(message.command);
    const answer = tooMany ? -EMSGSIZE : unasked ? -EINVAL : this.#do(message);
    const taken = typeof answer !== 'number' && TAKES_FDS.has(message.command);
    if (!taken) this.channel.closeAll(fds);
    return typeof answer === 'number'
      ? this.channel.replyError(message, -answer)
      : this.channel.reply(message, answer);
  }

  #do({ command, payload, fds }: Message): Answer {
    const { device, memory, interrupts } = this.parts;
    switch (command) {
      case Command.DMA_MAP:
        return done(memory.map(payload, fds));
      case Command.DMA_UNMAP:
        return memory.unmap(payload);
      case Command.DEVICE_GET_INFO:
        return fits(payload, USER_DEVICE_INFO_BYTES) ?? device.info();
      case Command.DEVICE_GET_REGION_INFO:
        return fits(payload, REGION_INFO.size) ?? device.region(decode(REGION_INFO, payload).index ?? 0);
      case Command.DEVICE_GET_REGION_IO_FDS:
        // An optional feature; a reply would have to bring descriptors.
        return fits(payload, REGION_IO_FDS.size) ?? -EOPNOTSUPP;
      case Command.DEVICE_GET_IRQ_INFO:
        return fits(payload, IRQ_INFO.size) ?? device.irq(decode(IRQ_INFO, payload).index ?? 0);
      case Command.DEVICE_SET_IRQS:
        return done(interrupts.set(payload, fds, (structure) => device.setIrqs(structure)));
      case Command.REGION_READ:
        return this.#read(payload);
      case Command.REGION_WRITE:
        return this.#write(payload);
      case Command.REGION_WRITE_MULTI:
        return this.parts.ours.writeMultiple ? this.#writeMany(payload) : -EOPNOTSUPP;
      case Command.DEVICE_RESET:
        return payload.length === 0 ? done(device.reset()) : -EINVAL;
      case Command.DEVICE_FEATURE:
        return feature(payload);
      case Command.MIG_DATA_READ:
      case Command.MIG_DATA_WRITE:
        return -EOPNOTSUPP;
      // DMA goes the other way, a second version is none, and what is unknown is an error of the client's.
      default:
        return -EINVAL;
    }
  }

  #read(payload: Uint8Array): Answer {
    const access = this.#access(payload, REGION_ACCESS.size);
    if (access === undefined) return -EINVAL;
    const { offset, region, count } = access;
    const reply = new Uint8Array(REGION_ACCESS.size + count);
    reply.set(encode(REGION_ACCESS, access));
    const result = this.parts.device.access(region, offset, reply.subarray(REGION_ACCESS.size), false);
    return result < 0 ? result : reply;
  }

  #write(payload: Uint8Array): Answer {
    const access = this.#access(payload, undefined);
    if (access === undefined) return -EINVAL;
    const bytes = Uint8Array.from(payload.subarray(REGION_ACCESS.size));
    const result = this.parts.device.access(access.region, access.offset, bytes, true);
    return result < 0 ? result : encode(REGION_ACCESS, access);
  }

  /** `length`: of the whole payload; undefined: the data is behind. */
  #access(payload: Uint8Array, length: number | undefined): Values<typeof REGION_ACCESS> | undefined {
    if (payload.length < REGION_ACCESS.size) return undefined;
    const access = decode(REGION_ACCESS, payload) as Values<typeof REGION_ACCESS>;
    if (access.count > this.parts.ours.maxDataTransfer) return undefined;
    return payload.length === (length ?? REGION_ACCESS.size + access.count) ? access : undefined;
  }

  #writeMany(payload: Uint8Array): Answer {
    if (payload.length < 8) return -EINVAL;
    const count = readU64(payload, 0);
    if (BigInt(payload.length) !== 8n + count * BigInt(SINGLE_WRITE.size)) return -EINVAL;
    for (let at = 8; at < payload.length; at += SINGLE_WRITE.size) {
      const {
        offset,
        region,
        count: bytes,
      } = decode(SINGLE_WRITE, payload, at) as Values<typeof SINGLE_WRITE>;
      if (bytes > 8) return -EINVAL;
      const data = Uint8Array.from(payload.subarray(at + 16, at + 16 + bytes));
      const result = this.parts.device.access(region, offset, data, true);
      if (result < 0) return result;
    }
    return payload.slice(0, 8);
  }
}

function done(result: number): Answer {
  return result < 0 ? result : NOTHING;
}

/** Structures that begin with argsz, "the maximum size of the reply payload": what is wrong with one. */
function fits(payload: Uint8Array, size: number): number | undefined {
  if (payload.length !== size) return -EINVAL;
  return (decode(FEATURE, payload).argsz ?? 0) < size ? -EINVAL : undefined;
}

/** Only migration has features here, and no device of ours migrates. */
function feature(payload: Uint8Array): Answer {
  if (payload.length < FEATURE.size) return -EINVAL;
  const { argsz = 0, flags = 0 } = decode(FEATURE, payload);
  const method = flags & (FEATURE_GET | FEATURE_SET | FEATURE_PROBE);
  if (argsz < FEATURE.size || method === 0 || method === (FEATURE_GET | FEATURE_SET)) return -EINVAL;
  return -ENOTTY;
}
