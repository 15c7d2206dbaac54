// SPDX-License-Identifier: Apache-2.0
import { escapeText } from '../../abi/text.js';
import { UserError } from '../../abi/user-error.js';

/** What a user's file holds, or one line that says what is wrong with it; `hint`: what to do. */
export function parseJsonFile(text: string, file: string, hint: string): unknown {
  try {
    // Some editors begin a file with a byte order mark.
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    throw new UserError(`${file} is no JSON (${escapeText((error as Error).message)}); ${hint}`);
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
