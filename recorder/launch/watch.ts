// SPDX-License-Identifier: Apache-2.0

import { UserError } from '../../abi/user-error.js';
import { WATCHES_MAX } from '../../abi/wire/record.js';
import type { Watch } from '../collector/control.js';

const LAST = (1n << 64n) - 1n;

/** `BAR0:0-0x1000`, `BAR2`, `0x1000-0x1fff`: regions and offsets whose loads and stores are recorded; both ends count. */
export function parseWatch(text: string): Watch {
  const [, bar, first, last] =
    /^(?:BAR([0-5]))?(?:(?:^|:)(0x[0-9a-f]{1,16}|\d{1,19})-(0x[0-9a-f]{1,16}|\d{1,19}))?$/i.exec(text) ?? [];
  if (text === '' || (bar === undefined && first === undefined)) {
    throw new UserError(`--watch: '${text}' names no region; write it like BAR0 or BAR0:0-0x1000`);
  }
  const watch = {
    region: bar === undefined ? undefined : Number(bar),
    first: first === undefined ? 0n : BigInt(first),
    last: last === undefined ? LAST : BigInt(last),
  };
  if (watch.first > watch.last) throw new UserError(`--watch: '${text}' ends before it begins`);
  return watch;
}

export function parseWatches(texts: readonly string[]): readonly Watch[] {
  if (texts.length > WATCHES_MAX) {
    throw new UserError(`--watch: ${texts.length} ranges; at most ${WATCHES_MAX}`);
  }
  return texts.map(parseWatch);
}
