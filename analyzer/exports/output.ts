// SPDX-License-Identifier: Apache-2.0
/** A file that only its owner may read: what is made from a trace is as private as the trace. */
import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';

const BUFFER_BYTES = 1 << 20;

export class OutputFile {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #used = 0;
  /** Bytes that were given so far. */
  size = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w', 0o600);
    // One that was there has kept its mode.
    fchmodSync(this.#fd, 0o600);
  }

  bytes(bytes: Uint8Array): void {
    this.size += bytes.length;
    if (this.#used + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) this.#write(bytes);
    else {
      this.#buffer.set(bytes, this.#used);
      this.#used += bytes.length;
    }
  }

  text(text: string): void {
    const room = Buffer.from(this.#buffer.buffer, this.#used);
    if (text.length * 3 <= room.length) {
      const written = room.write(text);
      this.#used += written;
      this.size += written;
    } else {
      this.#flush();
      if (text.length * 3 <= BUFFER_BYTES) this.text(text);
      else this.bytes(Buffer.from(text));
    }
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #write(bytes: Uint8Array): void {
    for (let put = 0; put < bytes.length; ) put += writeSync(this.#fd, bytes, put);
  }
}
