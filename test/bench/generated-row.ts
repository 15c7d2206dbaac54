// SPDX-License-Identifier: Apache-2.0

export interface Segment {
  readonly role: number;
  readonly words: readonly bigint[];
}

/** An actor's next event. */
export class Row {
  /** Completion, ticks. */
  time = 0;
  kind = 0;
  object = 0;
  fd = -1;
  op = 0;
  duration = 0;
  offset = 0n;
  value = 0n;
  result = 0n;
  errno = 0;
  site = 0;
  segments: readonly Segment[] = [];
}

/** As the patched plain moves are recorded: VFIOTAPE_ACCESS of abi/wire/record.h. */
export function access(region: number, width: number): number {
  return region | (width << 8) | (1 << 16) | (1 << 24);
}
