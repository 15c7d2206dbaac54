// SPDX-License-Identifier: Apache-2.0
const INTERVAL_MS = 200;

/** A line on a terminal that says how far long work is; nothing elsewhere. */
export interface ProgressLine {
  update(done: number): void;
  /** Instead of the figures. */
  say(text: string): void;
  end(): void;
}

export function progressLine(what: string, total: number): ProgressLine {
  const nothing = (): void => undefined;
  if (process.stderr.isTTY !== true) return { update: nothing, say: nothing, end: nothing };
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
    say(text) {
      shown = true;
      process.stderr.write(`\r\x1b[K${text}`);
    },
    end() {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
}
