// SPDX-License-Identifier: Apache-2.0
/** One file being written: appends are whole or not there. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { TraceError, TraceWriteError } from './errors.js';
import { FRAME_BYTES, parseFrame } from './frame.js';

/** writev(2) takes at most IOV_MAX, 1024 on Linux. */
const PIECES_AT_ONCE = 1000;

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}

export class TraceFile {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    /** Bytes of whole packets. */
    public size: number,
  ) {}

  /**
   * A file that was not there, or an empty one or a trace that is replaced. Its content is private to the user: it has
   * DMA addresses, command lines and the memory map of the driver.
   */
  static async create(path: string): Promise<TraceFile> {
    let handle: FileHandle;
    try {
      handle = await open(
        path,
        constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK,
        0o600,
      );
    } catch (error) {
      const code = codeOf(error);
      const reason = code === 'ELOOP' ? 'it is a symbolic link' : code;
      throw new TraceError(`${path}: the trace can't be written there: ${reason}`);
    }
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) {
        throw new TraceError(`${path}: the trace can't be written there: it is not a regular file`);
      }
      if (stat.size > 0) {
        const head = new Uint8Array(FRAME_BYTES);
        const { bytesRead } = await handle.read(head, 0, FRAME_BYTES, 0);
        if (parseFrame(head.subarray(0, bytesRead)) === undefined) {
          throw new TraceError(`${path}: exists and is not a trace: remove it first, or choose another name`);
        }
      }
      await handle.chmod(0o600);
      await handle.truncate(0);
    } catch (error) {
      await handle.close();
      throw error instanceof TraceError
        ? error
        : new TraceError(`${path}: the trace can't be written there: ${codeOf(error)}`);
    }
    return new TraceFile(path, handle, 0);
  }

  /** An existing file, cut off after `size` bytes. */
  static async reopen(path: string, size: number): Promise<TraceFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      await handle.truncate(size);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new TraceFile(path, handle, size);
  }

  /** Adds all of the pieces, or nothing. Returns where they begin. */
  async append(pieces: readonly Uint8Array[], events: number): Promise<number> {
    const start = this.size;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    try {
      let position = start;
      let rest = pieces;
      while (rest.length > 0) {
        const { bytesWritten } = await this.handle.writev(rest.slice(0, PIECES_AT_ONCE), position);
        if (bytesWritten === 0) {
          throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
        }
        position += bytesWritten;
        rest = after(rest, bytesWritten);
      }
    } catch (error) {
      // A reader would find its way past the remains; without them it doesn't have to.
      await this.handle.truncate(start).catch(() => undefined);
      const code = codeOf(error);
      throw new TraceWriteError(`${this.path}: can't be written: ${code}`, code, events);
    }
    this.size = start + length;
    return start;
  }

  /** Gives up what follows. */
  async cut(size: number): Promise<void> {
    await this.handle.truncate(size);
    this.size = size;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return (await this.handle.read(into, 0, into.length, position)).bytesRead;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

function after(pieces: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let left = written;
  for (const [n, piece] of pieces.entries()) {
    if (left < piece.length) {
      return [piece.subarray(left), ...pieces.slice(n + 1)];
    }
    left -= piece.length;
  }
  return [];
}
