// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes that are read here and there: a file or memory. */
export interface ByteSource {
  readonly size: number;
  /** Exactly `length` bytes from `offset`; undefined when they are not all there, or are more than anybody needs. */
  read(offset: number, length: number): Uint8Array | undefined;
  close(): void;
}

/** Symbol tables of the largest programs have tens of megabytes. */
const READ_MAX = 256 << 20;

function readable(size: number, offset: number, length: number): boolean {
  return (
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    length >= 0 &&
    length <= READ_MAX &&
    offset + length <= size
  );
}

/** Undefined for what is no regular file or can't be read: a trace may name anything. */
export function openBytes(path: string): ByteSource | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    return undefined;
  }
  return {
    size: stat.size,
    read(offset, length) {
      if (!readable(stat.size, offset, length)) return undefined;
      const bytes = new Uint8Array(length);
      try {
        for (let got = 0; got < length; ) {
          const more = readSync(fd, bytes, got, length - got, offset + got);
          if (more === 0) return undefined; // cut short since
          got += more;
        }
      } catch {
        return undefined;
      }
      return bytes;
    },
    close: () => closeSync(fd),
  };
}

export function bytesInMemory(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (offset, length) =>
      readable(bytes.length, offset, length) ? bytes.subarray(offset, offset + length) : undefined,
    close: () => undefined,
  };
}
