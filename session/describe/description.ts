// SPDX-License-Identifier: Apache-2.0
import type { Part } from '../../abi/ioctl.js';
import type { TouchedRegister } from '../../abi/register-access.js';

/** An event put into words. Text forms are made safe for a terminal; JSON forms come from the same parts. */
export interface Description {
  /** The ioctl's name in C, or the name of the kind. */
  readonly op: string;
  /** The call with what went in and what came out, without its result: `read config+0x4 Command = 0x0006 …`. */
  readonly text: string;
  /** `0`, `-1 EINVAL`, `fd 12`; undefined where a result says nothing. */
  readonly result: string | undefined;
  /** Named values, in and out. */
  readonly parts: readonly Part[];
  /** Where in a device: of accesses and mappings. */
  readonly region?: string;
  readonly offset?: bigint;
  readonly registers?: readonly TouchedRegister[] | undefined;
  /** False when no table knows the call. */
  readonly known: boolean;
}
