// SPDX-License-Identifier: Apache-2.0
/** The NVM command set: read, write, flush, compare, write zeroes, deallocate (NVMe 1.4 chapter 6). */
import { MDTS, NAMESPACE_ID } from './identify.js';
import type { LogPages } from './log-pages.js';
import type { Prps } from './prp.js';
import type { Command } from './queues.js';
import {
  COMPARE_FAILURE,
  INTERNAL_ERROR,
  INVALID_FIELD,
  INVALID_NAMESPACE,
  INVALID_OPCODE,
  LBA_OUT_OF_RANGE,
  READ_ONLY,
  SUCCESS,
} from './status.js';
import type { Storage } from './storage.js';

const FLUSH = 0x00;
const WRITE = 0x01;
const READ = 0x02;
const COMPARE = 0x05;
const WRITE_ZEROES = 0x08;
const DATASET_MANAGEMENT = 0x09;

const ALL_NAMESPACES = 0xffff_ffff;
const FORCE_UNIT_ACCESS = 0x4000_0000;
const DEALLOCATE = 0x04;
const RANGE_BYTES = 16;
const ZEROS = 1 << 20;
/** Deallocating reads as zeros by writing them; one command may name terabytes of which most never existed. */
const DEALLOCATED_MAX = 64 << 20;

export class IoCommands {
  readonly blocks: bigint;
  readonly #blockBytes: number;

  constructor(
    readonly storage: Storage,
    readonly blockShift: number,
    readonly log: LogPages,
    readonly writeCache: () => boolean,
  ) {
    this.#blockBytes = 1 << blockShift;
    this.blocks = BigInt(Math.floor(storage.bytes / this.#blockBytes));
  }

  /** A status. */
  execute(command: Command, prps: Prps): number {
    const opcode = command.getUint8(0);
    const namespace = command.getUint32(4, true);
    // No fused operations.
    if ((command.getUint8(1) & 3) !== 0) return INVALID_FIELD;
    const known = namespace === NAMESPACE_ID || (opcode === FLUSH && namespace === ALL_NAMESPACES);
    if (!known) return INVALID_NAMESPACE;
    switch (opcode) {
      case FLUSH:
        return this.storage.flush() ? SUCCESS : INTERNAL_ERROR;
      case READ:
        return this.#read(command, prps);
      case WRITE:
        return this.#write(command, prps);
      case COMPARE:
        return this.#compare(command, prps);
      case WRITE_ZEROES: {
        const range = this.#range(command);
        if (typeof range === 'number') return range;
        return this.storage.readOnly ? READ_ONLY : this.#zero(range.offset, range.length);
      }
      case DATASET_MANAGEMENT:
        return this.#datasetManagement(command, prps);
      default:
        return INVALID_OPCODE;
    }
  }

  /** The first block of a command, for the error log. */
  blockOf(command: Command): bigint {
    return command.getBigUint64(40, true);
  }

  #range(command: Command): { readonly offset: number; readonly length: number } | number {
    const start = command.getBigUint64(40, true);
    const count = (command.getUint32(48, true) & 0xffff) + 1;
    if (start + BigInt(count) > this.blocks) return LBA_OUT_OF_RANGE;
    return { offset: Number(start) * this.#blockBytes, length: count * this.#blockBytes };
  }

  /** For commands with data: MDTS is in units of the smallest page. */
  #transferRange(command: Command): { readonly offset: number; readonly length: number } | number {
    const range = this.#range(command);
    if (typeof range === 'number') return range;
    return range.length > 4096 << MDTS ? INVALID_FIELD : range;
  }

  #read(command: Command, prps: Prps): number {
    const range = this.#transferRange(command);
    if (typeof range === 'number') return range;
    const bytes = new Uint8Array(range.length);
    if (!this.storage.read(range.offset, bytes)) return INTERNAL_ERROR;
    this.log.counters.reads++;
    this.log.counters.dataUnitsRead += BigInt(range.length / 512);
    return prps.write(command, bytes);
  }

  #write(command: Command, prps: Prps): number {
    const range = this.#transferRange(command);
    if (typeof range === 'number') return range;
    if (this.storage.readOnly) return READ_ONLY;
    const bytes = new Uint8Array(range.length);
    const status = prps.read(command, bytes);
    if (status !== SUCCESS) return status;
    if (!this.storage.write(range.offset, bytes)) return INTERNAL_ERROR;
    this.log.counters.writes++;
    this.log.counters.dataUnitsWritten += BigInt(range.length / 512);
    const now = !this.writeCache() || (command.getUint32(48, true) & FORCE_UNIT_ACCESS) !== 0;
    return !now || this.storage.flush() ? SUCCESS : INTERNAL_ERROR;
  }

  #compare(command: Command, prps: Prps): number {
    const range = this.#transferRange(command);
    if (typeof range === 'number') return range;
    const given = new Uint8Array(range.length);
    const status = prps.read(command, given);
    if (status !== SUCCESS) return status;
    const held = new Uint8Array(range.length);
    if (!this.storage.read(range.offset, held)) return INTERNAL_ERROR;
    return Buffer.compare(given, held) === 0 ? SUCCESS : COMPARE_FAILURE;
  }

  #zero(offset: number, length: number): number {
    const zeros = new Uint8Array(Math.min(length, ZEROS));
    for (let done = 0; done < length; done += ZEROS)
      if (!this.storage.write(offset + done, zeros.subarray(0, Math.min(ZEROS, length - done))))
        return INTERNAL_ERROR;
    return SUCCESS;
  }

  /** All that it does is advice, so what is too much for one command is left as it is. */
  #datasetManagement(command: Command, prps: Prps): number {
    const count = (command.getUint32(40, true) & 0xff) + 1;
    const bytes = new Uint8Array(count * RANGE_BYTES);
    const status = prps.read(command, bytes);
    if (status !== SUCCESS) return status;
    const view = new DataView(bytes.buffer);
    const ranges = Array.from({ length: count }, (_, i) => ({
      blocks: view.getUint32(RANGE_BYTES * i + 4, true),
      start: view.getBigUint64(RANGE_BYTES * i + 8, true),
    }));
    if (ranges.some(({ start, blocks }) => start + BigInt(blocks) > this.blocks)) return LBA_OUT_OF_RANGE;
    if ((command.getUint32(44, true) & DEALLOCATE) === 0) return SUCCESS;
    if (this.storage.readOnly) return READ_ONLY;
    let left = DEALLOCATED_MAX;
    for (const { start, blocks } of ranges) {
      const length = Math.min(blocks * this.#blockBytes, left);
      left -= length;
      if (this.#zero(Number(start) * this.#blockBytes, length) !== SUCCESS) return INTERNAL_ERROR;
    }
    return SUCCESS;
  }
}
