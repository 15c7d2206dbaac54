// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import type { DriverSite } from '../devices/recorded/departure.js';

/** start-end perms offset dev inode path */
const LINE = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ +(\/.*)$/;

export interface CodeAddress {
  readonly pid: number;
  readonly address: bigint;
  /** It is where a call returns to; otherwise the instruction itself. */
  readonly isCall: boolean;
}

/** The file that is mapped at an address of a process, and the place in it; undefined where there is none. */
export function placeInFile({ pid, address, isCall }: CodeAddress): DriverSite | undefined {
  let maps: string;
  try {
    maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  } catch {
    return undefined;
  }
  for (const line of maps.split('\n')) {
    const found = LINE.exec(line);
    if (found === null) continue;
    const [start, end, offset] = found.slice(1, 4).map((digits) => BigInt(`0x${digits}`)) as [
      bigint,
      bigint,
      bigint,
    ];
    if (address < start || address >= end) continue;
    return { path: found[4] as string, offset: address - start + offset, isCall };
  }
  return undefined;
}
