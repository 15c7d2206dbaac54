// SPDX-License-Identifier: Apache-2.0
/** Accesses of a recording in the pieces in which a device meets them (simulated.c: piece_of, vfio/regions.ts). */
import { payloadBytes } from '../../../session/payloads.js';
import { type Event, EventKind, PayloadRole } from '../../../traces/model.js';
import { processorPiece } from '../../kernel/pci/bar-access.js';
import type { Width } from '../device.js';

export interface Piece {
  readonly offset: number;
  readonly width: Width;
  readonly value: bigint;
}

export function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

/** The bytes that a call or an access moved. */
export function bytesMoved(event: Event): Uint8Array {
  const count = byteCount(event);
  const data = payloadBytes(event, PayloadRole.DATA);
  if (data !== undefined) return data.subarray(0, count);
  const bytes = new Uint8Array(Math.min(count, 8));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number((event.value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}

function byteCount(event: Event): number {
  if (event.kind === EventKind.LOAD || event.kind === EventKind.STORE || event.kind === EventKind.UPDATE)
    return (event.op >>> 8) & 0xff;
  return event.errno === 0 && event.result > 0n ? Number(event.result) : 0;
}

function piece(bytes: Uint8Array, base: number, at: number, width: Width): Piece {
  return { offset: base + at, width, value: littleEndian(bytes.subarray(at, at + width)) };
}

/** A read or write by descriptor: aligned pieces. */
export function transferPieces(offset: number, bytes: Uint8Array): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; at += pieces.at(-1)?.width ?? 1) {
    const rest = bytes.length - at;
    const from = offset + at;
    const width =
      rest >= 8 && from % 8 === 0 ? 8 : rest >= 4 && from % 4 === 0 ? 4 : rest >= 2 && from % 2 === 0 ? 2 : 1;
    pieces.push(piece(bytes, offset, at, width));
  }
  return pieces;
}

/** A load or store: not across eight bytes, and what is not aligned byte by byte. */
export function accessPieces(offset: number, bytes: Uint8Array): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; ) {
    const from = offset + at;
    const width = processorPiece(from, bytes.length - at);
    if (from % width === 0) pieces.push(piece(bytes, offset, at, width));
    else for (let i = 0; i < width; i++) pieces.push(piece(bytes, offset, at + i, 1));
    at += width;
  }
  return pieces;
}
