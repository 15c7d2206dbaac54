// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { UserError } from '../../abi/user-error.js';
import { RING_HEADER_BYTES, RINGS_MAX } from '../../abi/wire/record.js';

/** A ring with its side ring, unless --buffer says otherwise: an eighth of a second at two million events a second. */
const BUFFER_BYTES = 20 << 20;
export const BUFFER_LEAST = 64 << 10;
export const BUFFER_MOST = 640 << 20;
/** So many rings are to fit, or they are made smaller. */
const RINGS_WANTED = 8;
const RECORDS_LOG2_LEAST = 10;

export interface RingSizes {
  readonly recordsLog2: number;
  readonly sideLog2: number;
  readonly ringLimit: number;
  /** Bytes of one ring, all told. */
  readonly ringBytes: number;
}

function sizesOf(bytes: number): { recordsLog2: number; sideLog2: number; ringBytes: number } {
  // Four fifths for records, one fifth for payload: both powers of two.
  const recordsLog2 = Math.min(24, Math.max(8, Math.floor(Math.log2((bytes * 4) / 5 / 64))));
  const sideLog2 = Math.min(25, Math.max(12, recordsLog2 + 4));
  return { recordsLog2, sideLog2, ringBytes: RING_HEADER_BYTES + 64 * 2 ** recordsLog2 + 2 ** sideLog2 };
}

/**
 * Bytes that a file of the driver may have (RLIMIT_FSIZE). A ring is a file like others: one that is larger would be
 * SIGXFSZ for the driver.
 */
export function fileSizeLimit(): number {
  const soft = /^Max file size\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

/** The soft RLIMIT_NOFILE of whoever called us: Node raises its own to the hard limit, and a child would inherit that. */
export function callersOpenFiles(): number {
  try {
    return Number(
      /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${process.ppid}/limits`, 'utf8'))?.[1] ?? 0,
    );
  } catch {
    return 0;
  }
}

/** How large the rings are, and how many there may be: half of what is free at most is taken. */
export function ringSizes(
  bufferBytes: number | undefined,
  freeBytes: number,
  fileLimit: number = fileSizeLimit(),
  /** Rings that there must be: a thread's, and what else has one. */
  least = 1,
): RingSizes {
  const room = freeBytes / 2;
  let sizes = sizesOf(bufferBytes ?? BUFFER_BYTES);
  if (bufferBytes === undefined) {
    const tooLarge = (): boolean => sizes.ringBytes * RINGS_WANTED > room || sizes.ringBytes > fileLimit;
    while (tooLarge() && sizes.recordsLog2 > RECORDS_LOG2_LEAST) sizes = sizesOf(sizes.ringBytes / 2);
  }
  if (sizes.ringBytes > fileLimit) {
    throw new UserError(
      `the driver may write files of ${fileLimit} bytes only (ulimit -f), and each of its threads needs one of ${sizes.ringBytes}; raise that limit${bufferBytes === undefined ? '' : ', or give a smaller --buffer'}`,
    );
  }
  const ringLimit = Math.min(RINGS_MAX, Math.floor(room / sizes.ringBytes));
  if (ringLimit < least) {
    throw new UserError(
      `--buffer: ${sizes.ringBytes} bytes for each thread of the driver${least > 1 ? ' and for its devices' : ''}, but only ${Math.floor(room)} may be taken; give a smaller one`,
    );
  }
  return { ...sizes, ringLimit };
}
