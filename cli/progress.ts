// SPDX-License-Identifier: Apache-2.0
/** A line on a terminal that says how far long work is; nothing elsewhere. */

const INTERVAL_MS = 200;

export function progressLine(what: string, total: number): { update(done: number): void; end(): void } {
  if (process.stderr.isTTY !== true) return { update: () => undefined, end: () => undefined };
  let last = 0;
  let shown = false;
  return {
    update(done) {
      const now = Date.now();
      if (now - last < INTERVAL_MS) return;
      last = now;
      shown = true;
      const part = total > 0 ? ` ${Math.floor((100 * done) / total)} %` : '';
      process.stderr.write(`\r\x1b[K${what}: ${done.toLocaleString('en-US')} events${part}`);
    },
    end() {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
}
