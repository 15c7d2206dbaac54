// SPDX-License-Identifier: Apache-2.0
/** poll(2) of several descriptors. */
import type { Libc } from './libc.js';

const POLLIN = 0x0001;
/** struct pollfd */
const ENTRY = 8;
const EINTR = 4;

export class Poll {
  readonly #poll;

  constructor(readonly libc: Libc) {
    this.#poll = libc.function('poll', 'int', ['void *', 'ulong', 'int']);
  }

  /** Those that can be read, or will never be again, within so many milliseconds; -1 waits for ever. */
  readable(fds: readonly number[], milliseconds: number): readonly number[] {
    const bytes = new Uint8Array(new ArrayBuffer(ENTRY * fds.length));
    const view = new DataView(bytes.buffer);
    for (const [i, fd] of fds.entries()) {
      view.setInt32(ENTRY * i, fd, true);
      view.setInt16(ENTRY * i + 4, POLLIN, true);
    }
    for (;;) {
      const result = this.libc.result(this.#poll(bytes, fds.length, milliseconds));
      if (result === -EINTR) continue;
      return fds.filter((_, i) => view.getInt16(ENTRY * i + 6, true) !== 0);
    }
  }
}
