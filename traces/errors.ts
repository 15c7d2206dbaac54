// SPDX-License-Identifier: Apache-2.0

/** The file, or what was asked of it, is at fault: one line for the user, exit status 2. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

/** The file could not be written (ENOSPC, EIO, EFBIG …). What was in it before is still whole. */
export class TraceWriteError extends Error {
  override readonly name = 'TraceWriteError';
  /** As in node:fs: 'ENOSPC'. */
  readonly code: string;
  /** Events that are not in the file because of it. */
  readonly events: number;

  constructor(message: string, code: string, events: number) {
    super(message);
    this.code = code;
    this.events = events;
  }
}
