// SPDX-License-Identifier: Apache-2.0
/** Going from packet to packet without an index, and finding the way again after damage. */
import { checksumFits, FRAME_BYTES, type Frame, parseFrame, SYNC_BYTES } from './frame.js';
import type { ByteSource } from './source.js';

export type Found =
  | { readonly found: 'packet'; readonly offset: number; readonly frame: Frame }
  | { readonly found: 'damage'; readonly offset: number; readonly end: number; readonly reason: string }
  | { readonly found: 'end'; readonly offset: number };

const SEARCH_BYTES = 1 << 20;

/**
 * A file made to look like the start of a packet everywhere would otherwise have most of it checksummed over and
 * over: after so many bytes of false starts the rest counts as damaged.
 */
const FALSE_START_BYTES = 256 << 20;
/** What looking at one costs beside its checksum, in bytes checksummed. */
const FALSE_START_COST = 4096;

export class Scanner {
  private falseStarts = 0;
  private gaveUp = false;

  constructor(
    private readonly source: ByteSource,
    /** How far to search after damage. */
    private readonly searchBytes = Number.POSITIVE_INFINITY,
  ) {}

  /** Where the first packet after a damaged one begins, if there is one. */
  after(offset: number, broken: Frame | undefined): number | undefined {
    const found = this.resume(offset, broken);
    const packet = found.found === 'damage' ? this.next(found.end) : found;
    return packet.found === 'packet' ? packet.offset : undefined;
  }

  /**
   * The packet at `offset`, or the damage there. The checksum of a packet is looked at only where something is wrong
   * with its surroundings: whoever uses its content does that.
   */
  next(offset: number): Found {
    const head = this.source.at(offset, FRAME_BYTES);
    if (head.length === 0 || this.gaveUp) {
      return { found: 'end', offset };
    }
    const frame = parseFrame(head);
    if (frame !== undefined && this.followed(offset, frame)) {
      return { found: 'packet', offset, frame };
    }
    return this.resume(offset, frame);
  }

  /** Whether another packet, or the end, comes where this one says that it ends. */
  private followed(offset: number, frame: Frame): boolean {
    const end = offset + frame.size;
    if (this.source.stream) {
      // Going on would give this packet up, so its checksum has to tell.
      const packet = this.source.at(offset, frame.size);
      return packet.length === frame.size && this.trusted(frame, packet);
    }
    if (end >= this.source.size) {
      return end === this.source.size;
    }
    if (parseFrame(this.source.at(end, FRAME_BYTES)) !== undefined) {
      return true;
    }
    return this.trusted(frame, this.source.at(offset, frame.size));
  }

  private trusted(frame: Frame, packet: Uint8Array): boolean {
    if (checksumFits(frame, packet)) {
      return true;
    }
    this.falseStarts += frame.size + FALSE_START_COST;
    return false;
  }

  /** Searches for the next sync word that starts a whole packet. */
  private resume(damaged: number, broken: Frame | undefined): Found {
    const { source } = this;
    let searched = damaged + 1;
    for (;;) {
      // The packet that a sync word belongs to starts 2 to 6 bytes before it.
      const base = Math.max(damaged + 1, searched - 6, source.earliest);
      if (base - damaged > this.searchBytes) {
        this.gaveUp = true;
        return { found: 'damage', offset: damaged, end: base, reason: 'not a packet' };
      }
      const window = source.at(base, SEARCH_BYTES);
      const at = Buffer.from(window.buffer, window.byteOffset, window.length).indexOf(
        SYNC_BYTES,
        searched - base,
      );
      if (at < 0) {
        if (window.length < SEARCH_BYTES) {
          return {
            found: 'damage',
            offset: damaged,
            end: base + window.length,
            reason: lost(damaged, base + window.length, broken),
          };
        }
        searched = base + window.length - SYNC_BYTES.length + 1;
        continue;
      }
      const sync = base + at;
      // From the front: a stream does not go back.
      for (let start = Math.max(base, sync - 6); start <= sync - 2; start++) {
        const frame = parseFrame(source.at(start, FRAME_BYTES));
        if (frame !== undefined) {
          const packet = source.at(start, frame.size);
          if (packet.length === frame.size && this.trusted(frame, packet)) {
            return { found: 'damage', offset: damaged, end: start, reason: 'not a packet' };
          }
        }
      }
      if (this.falseStarts > FALSE_START_BYTES) {
        this.gaveUp = true;
        const end = source.stream ? sync : source.size;
        return {
          found: 'damage',
          offset: damaged,
          end,
          reason: 'too many false packets: the rest was not looked at',
        };
      }
      searched = sync + 1;
    }
  }
}

function lost(damaged: number, end: number, broken: Frame | undefined): string {
  return broken !== undefined && damaged + broken.size > end
    ? `the last packet is cut off, ${end - damaged} of its ${broken.size} bytes are there`
    : 'not a packet';
}
