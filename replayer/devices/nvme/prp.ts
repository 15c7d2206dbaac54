// SPDX-License-Identifier: Apache-2.0
/** Physical region pages: where a command's data is (NVMe 1.4 chapter 4.3). */
import type { Host } from '../device.js';
import type { Command } from './queues.js';
import { DATA_TRANSFER_ERROR, INVALID_FIELD, PRP_OFFSET_INVALID, SUCCESS } from './status.js';

interface Segment {
  readonly address: bigint;
  readonly length: number;
}

/** A command's data buffer; transfers go piece by piece through the IOMMU. */
export class Prps {
  constructor(
    readonly host: Host,
    readonly pageSize: number,
  ) {}

  /** Driver's memory to ours: a status. */
  read(command: Command, into: Uint8Array): number {
    return this.#transfer(command, into, (address, piece) => this.host.dmaRead(address, piece));
  }

  write(command: Command, from: Uint8Array): number {
    return this.#transfer(command, from, (address, piece) => this.host.dmaWrite(address, piece));
  }

  #transfer(
    command: Command,
    bytes: Uint8Array,
    move: (address: bigint, piece: Uint8Array) => boolean,
  ): number {
    // SGLs are not supported (identify controller, SGLS).
    if (((command.getUint8(1) >>> 6) & 3) !== 0) return INVALID_FIELD;
    const segments = this.#segments(command, bytes.length);
    if (typeof segments === 'number') return segments;
    let done = 0;
    for (const { address, length } of segments) {
      if (!move(address, bytes.subarray(done, done + length))) return DATA_TRANSFER_ERROR;
      done += length;
    }
    return SUCCESS;
  }

  #segments(command: Command, length: number): readonly Segment[] | number {
    const { pageSize } = this;
    const first = command.getBigUint64(24, true);
    const second = command.getBigUint64(32, true);
    const offset = Number(first % BigInt(pageSize));
    if (offset % 4 !== 0) return PRP_OFFSET_INVALID;
    const firstLength = Math.min(length, pageSize - offset);
    const segments: Segment[] = [{ address: first, length: firstLength }];
    const rest = length - firstLength;
    if (rest === 0) return segments;
    if (rest <= pageSize) {
      if (second % BigInt(pageSize) !== 0n) return PRP_OFFSET_INVALID;
      segments.push({ address: second, length: rest });
      return segments;
    }
    return this.#list(segments, second, rest);
  }

  /** The second PRP points to a list; its last entry in a page points to the next list when more is to come. */
  #list(segments: Segment[], list: bigint, length: number): readonly Segment[] | number {
    const { pageSize } = this;
    let rest = length;
    let at = list;
    while (rest > 0) {
      if (at % 8n !== 0n) return PRP_OFFSET_INVALID;
      const entries = (pageSize - Number(at % BigInt(pageSize))) / 8;
      const needed = Math.min(entries, Math.ceil(rest / pageSize));
      const bytes = new Uint8Array(needed * 8);
      if (!this.host.dmaRead(at, bytes)) return DATA_TRANSFER_ERROR;
      const view = new DataView(bytes.buffer);
      const chained = needed === entries && rest > entries * pageSize;
      const used = chained ? entries - 1 : needed;
      for (let i = 0; i < used && rest > 0; i++) {
        const address = view.getBigUint64(8 * i, true);
        if (address % BigInt(pageSize) !== 0n) return PRP_OFFSET_INVALID;
        const piece = Math.min(rest, pageSize);
        segments.push({ address, length: piece });
        rest -= piece;
      }
      if (rest === 0) break;
      // A list of one entry, which points to a list of one entry, … would never end.
      if (used === 0) return PRP_OFFSET_INVALID;
      at = view.getBigUint64(8 * used, true);
    }
    return segments;
  }
}
