// SPDX-License-Identifier: Apache-2.0
/** What a namespace keeps its blocks in. */
import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { UserError } from '../../../abi/user-error.js';

export interface Storage {
  readonly bytes: number;
  readonly readOnly: boolean;
  /** False on a media error. The range is inside. */
  read(offset: number, into: Uint8Array): boolean;
  write(offset: number, from: Uint8Array): boolean;
  flush(): boolean;
  close(): void;
}

const CHUNK = 65536;

/** Only what was written exists; all else reads as zeros. */
export class MemoryStorage implements Storage {
  readonly readOnly = false;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(readonly bytes: number) {}

  read(offset: number, into: Uint8Array): boolean {
    this.#each(offset, into.length, (chunk, at, done, length) => {
      const held = this.#chunks.get(chunk);
      if (held === undefined) into.fill(0, done, done + length);
      else into.set(held.subarray(at, at + length), done);
    });
    return true;
  }

  write(offset: number, from: Uint8Array): boolean {
    this.#each(offset, from.length, (chunk, at, done, length) => {
      let held = this.#chunks.get(chunk);
      if (held === undefined) {
        held = new Uint8Array(CHUNK);
        this.#chunks.set(chunk, held);
      }
      held.set(from.subarray(done, done + length), at);
    });
    return true;
  }

  flush(): boolean {
    return true;
  }

  close(): void {
    this.#chunks.clear();
  }

  #each(
    offset: number,
    length: number,
    visit: (chunk: number, at: number, done: number, length: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const at = (offset + done) % CHUNK;
      const piece = Math.min(CHUNK - at, length - done);
      visit(Math.floor((offset + done) / CHUNK), at, done, piece);
      done += piece;
    }
  }
}

/** A file as long as the namespace; one that may not be written makes a read-only namespace. */
export class FileStorage implements Storage {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly #fd: number;

  constructor(path: string) {
    [this.#fd, this.readOnly] = openFile(path);
    const status = fstatSync(this.#fd);
    if (!status.isFile()) {
      closeSync(this.#fd);
      throw new UserError(`nvme: '${path}' is no regular file, which has a size`);
    }
    this.bytes = status.size;
  }

  read(offset: number, into: Uint8Array): boolean {
    try {
      for (let done = 0; done < into.length; ) {
        const got = readSync(this.#fd, into, done, into.length - done, offset + done);
        // The file was cut while in use: what is gone reads as zeros.
        if (got === 0) {
          into.fill(0, done);
          return true;
        }
        done += got;
      }
      return true;
    } catch {
      return false;
    }
  }

  write(offset: number, from: Uint8Array): boolean {
    try {
      for (let done = 0; done < from.length; )
        done += writeSync(this.#fd, from, done, from.length - done, offset + done);
      return true;
    } catch {
      return false;
    }
  }

  flush(): boolean {
    try {
      fdatasyncSync(this.#fd);
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function openFile(path: string): [fd: number, readOnly: boolean] {
  try {
    return [openSync(path, 'r+'), false];
  } catch {
    try {
      return [openSync(path, 'r'), true];
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UserError(`nvme: cannot open '${path}': ${reason}`);
    }
  }
}
