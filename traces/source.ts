// SPDX-License-Identifier: Apache-2.0
/** Where the bytes of a trace come from. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { TraceError } from './errors.js';
import { MAX_PACKET_BYTES } from './limits.js';

export interface ByteSource {
  readonly name: string;
  /** Bytes in all; Infinity for a stream whose end was not seen yet. */
  readonly size: number;
  /** A stream is read forward only: asking for an offset gives up everything before it. */
  readonly stream: boolean;
  /** First offset that can still be asked for. */
  readonly earliest: number;
  /** Bytes from `offset`, fewer than `length` only at the end. Good until the next call. */
  at(offset: number, length: number): Uint8Array;
  close(): void;
}

class MemorySource implements ByteSource {
  readonly name = 'trace in memory';
  readonly stream = false;
  readonly earliest = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get size(): number {
    return this.bytes.length;
  }

  at(offset: number, length: number): Uint8Array {
    return this.bytes.subarray(offset, offset + length);
  }

  close(): void {
    // Nothing is held.
  }
}

/** A little more than asked for is read at once: an inspected frame is mostly followed by its packet. */
const READ_AHEAD = 4096;
const BUFFER_STEP = 64 << 10;
/** A packet of the largest size, and what is read beside it. */
const STREAM_BUFFER = MAX_PACKET_BYTES + (2 << 20);

class FileSource implements ByteSource {
  readonly stream = false;
  readonly earliest = 0;
  private buffer: Uint8Array = new Uint8Array(64 << 10);
  private start = 0;
  private length = 0;

  constructor(
    readonly name: string,
    private readonly fd: number,
    readonly size: number,
    private readonly owned: boolean,
  ) {}

  at(offset: number, length: number): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (offset < this.start || offset + wanted > this.start + this.length) {
      const reading = Math.max(0, Math.min(Math.max(wanted, READ_AHEAD), this.size - offset));
      if (this.buffer.length < reading) {
        // No more than the file has and a packet may be; in steps, since packets differ a little.
        this.buffer = new Uint8Array((reading + BUFFER_STEP - 1) & -BUFFER_STEP);
      }
      this.start = offset;
      this.length = 0;
      while (this.length < reading) {
        const got = readSync(this.fd, this.buffer, this.length, reading - this.length, offset + this.length);
        if (got === 0) {
          break; // The file became shorter since it was opened.
        }
        this.length += got;
      }
    }
    const from = offset - this.start;
    return this.buffer.subarray(from, Math.min(from + wanted, this.length));
  }

  close(): void {
    if (this.owned) {
      closeSync(this.fd);
    }
  }
}

class StreamSource implements ByteSource {
  readonly stream = true;
  size = Number.POSITIVE_INFINITY;
  private buffer: Uint8Array = new Uint8Array(256 << 10);
  private start = 0;
  private length = 0;

  constructor(
    readonly name: string,
    private readonly fd: number,
    private readonly owned: boolean,
  ) {}

  get earliest(): number {
    return this.start;
  }

  at(offset: number, length: number): Uint8Array {
    if (offset < this.start) {
      throw new RangeError(`a stream can't be read again: at ${this.start}, asked for ${offset}`);
    }
    while (this.start + this.length < offset + length && this.size === Number.POSITIVE_INFINITY) {
      this.fill(offset, length);
    }
    const from = Math.min(offset - this.start, this.length);
    return this.buffer.subarray(from, Math.min(from + length, this.length));
  }

  close(): void {
    if (this.owned) {
      closeSync(this.fd);
    }
  }

  private fill(offset: number, length: number): void {
    const used = Math.min(offset - this.start, this.length);
    if (this.length === this.buffer.length || this.buffer.length - used < length) {
      const kept = this.length - used;
      // Twice what is there, at most: the bytes must arrive before more room is made for them.
      if (kept * 2 > this.buffer.length) {
        const larger = new Uint8Array(Math.min(this.buffer.length * 2, STREAM_BUFFER));
        larger.set(this.buffer.subarray(used, this.length));
        this.buffer = larger;
      } else {
        this.buffer.copyWithin(0, used, this.length);
      }
      this.start += used;
      this.length = kept;
    }
    const got = this.read();
    if (got === 0) {
      this.size = this.start + this.length;
    }
    this.length += got;
  }

  private read(): number {
    for (;;) {
      try {
        return readSync(this.fd, this.buffer, this.length, this.buffer.length - this.length, null);
      } catch (error) {
        // Somebody left the pipe non-blocking; there is nothing else to do but to wait.
        if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) {
          throw error;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
  }
}

/** `called`: what messages call an open descriptor. */
export function openSource(from: string | number | Uint8Array, called?: string): ByteSource {
  if (from instanceof Uint8Array) {
    return new MemorySource(from);
  }
  const name =
    from === '-' ? 'standard input' : typeof from === 'string' ? from : (called ?? `descriptor ${from}`);
  const owned = typeof from === 'string' && from !== '-';
  const fd = owned ? openOrExplain(from) : from === '-' ? 0 : (from as number);
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) {
      throw new TraceError(`${name}: is a directory, not a trace`);
    }
    return stat.isFile() ? new FileSource(name, fd, stat.size, owned) : new StreamSource(name, fd, owned);
  } catch (error) {
    if (owned) {
      closeSync(fd);
    }
    throw error;
  }
}

function openOrExplain(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const reason = code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'no permission to read it' : code;
    throw new TraceError(`${path}: can't be opened: ${reason}`);
  }
}
