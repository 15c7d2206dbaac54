// SPDX-License-Identifier: Apache-2.0

/** The exit statuses that are part of the contract. `record` gives the driver's own (128 + n for a signal). */
export const ExitStatus = {
  OK: 0,
  /** Findings, divergences or differences. */
  FINDINGS: 1,
  /** Usage or unreadable input. */
  USAGE: 2,
  /** A bug of ours; sysexits.h calls it EX_SOFTWARE. */
  BUG: 70,
} as const;
