// SPDX-License-Identifier: Apache-2.0

/**
 * Something the user can mend: one line that says what, where and what to do. The command line prints it without a
 * stack and exits with 2; any other error is a bug of ours (70).
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}
