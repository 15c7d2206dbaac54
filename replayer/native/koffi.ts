// SPDX-License-Identifier: Apache-2.0
/** The FFI library, read in when something native is called for and not before: most verbs need none. */
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { UserError } from '../../abi/user-error.js';

let loaded: typeof Koffi | undefined;

/** Throws UserError where it can't be loaded. */
export function koffi(): typeof Koffi {
  try {
    loaded ??= createRequire(import.meta.url)('koffi') as typeof Koffi;
  } catch (error) {
    const [line = ''] = String((error as Error).message).split('\n');
    throw new UserError(`system calls need the package koffi, which can't be loaded (npm ci): ${line}`);
  }
  return loaded;
}
