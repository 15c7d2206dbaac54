// SPDX-License-Identifier: Apache-2.0
/** Requests as they come off a connection, and replies as they go onto it (abi/wire/sim.h). */
import {
  SIM_COPY_BYTES,
  SIM_DATA_MAX,
  SIM_REPLY_BYTES,
  SIM_REQUEST_BYTES,
  SimReplyField,
  SimRequestField,
} from '../../abi/wire/sim.js';

export interface Request {
  readonly type: number;
  readonly version: number;
  readonly pid: number;
  readonly file: bigint;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly d: bigint;
  readonly site: bigint;
  readonly payload: Uint8Array;
}

const NOTHING = new Uint8Array();

/** Cuts a stream into pieces whose length stands at the front of each; `undefined` until one is whole. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
  }

  /** 'malformed' for a length that no honest shim sends. */
  next(): Request | 'malformed' | undefined {
    const bytes = this.#pending;
    if (bytes.length < SIM_REQUEST_BYTES) return undefined;
    const length = bytes.readUInt32LE(SimRequestField.length);
    if (length > SIM_DATA_MAX) return 'malformed';
    const end = SIM_REQUEST_BYTES + length;
    if (bytes.length < end) return undefined;
    this.#pending = bytes.subarray(end);
    return {
      type: bytes.readUInt16LE(SimRequestField.type),
      version: bytes.readUInt16LE(SimRequestField.version),
      pid: bytes.readUInt32LE(SimRequestField.pid),
      file: bytes.readBigUInt64LE(SimRequestField.file),
      a: bytes.readBigUInt64LE(SimRequestField.a),
      b: bytes.readBigUInt64LE(SimRequestField.b),
      c: bytes.readBigUInt64LE(SimRequestField.c),
      d: bytes.readBigUInt64LE(SimRequestField.d),
      site: bytes.readBigUInt64LE(SimRequestField.site),
      payload: length === 0 ? NOTHING : bytes.subarray(SIM_REQUEST_BYTES, end),
    };
  }

  /** Pieces of a fixed size: the service connection's. */
  nextFixed(size: number): Buffer | undefined {
    if (this.#pending.length < size) return undefined;
    const piece = this.#pending.subarray(0, size);
    this.#pending = this.#pending.subarray(size);
    return piece;
  }
}

export interface Reply {
  readonly result: number | bigint;
  readonly a?: bigint;
  readonly b?: bigint;
  readonly payload?: Uint8Array;
}

export function encodeReply(type: number, { result, a = 0n, b = 0n, payload = NOTHING }: Reply): Buffer {
  const bytes = Buffer.alloc(SIM_REPLY_BYTES + payload.length);
  bytes.writeUInt32LE(payload.length, SimReplyField.length);
  bytes.writeUInt32LE(type, SimReplyField.type);
  bytes.writeBigInt64LE(BigInt(result), SimReplyField.result);
  bytes.writeBigUInt64LE(a, SimReplyField.a);
  bytes.writeBigUInt64LE(b, SimReplyField.b);
  bytes.set(payload, SIM_REPLY_BYTES);
  return bytes;
}

/** What a call writes to the caller's memory. */
export interface Copy {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

export function encodeCopies(copies: readonly Copy[]): Uint8Array {
  const room = copies.reduce((sum, { bytes }) => sum + SIM_COPY_BYTES + padded(bytes.length), 0);
  const out = Buffer.alloc(room);
  let at = 0;
  for (const { address, bytes } of copies) {
    out.writeBigUInt64LE(address, at);
    out.writeUInt32LE(bytes.length, at + 8);
    out.set(bytes, at + SIM_COPY_BYTES);
    at += SIM_COPY_BYTES + padded(bytes.length);
  }
  return out;
}

function padded(length: number): number {
  return (length + 7) & ~7;
}
