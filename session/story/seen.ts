// SPDX-License-Identifier: Apache-2.0
import type { Event } from '../../traces/model.js';

/** What every step has. */
export interface Seen {
  readonly event: Event;
  /** ProcessDefinition.id, 0 when not known. */
  readonly process: number;
  /** Without an errno. */
  readonly ok: boolean;
}

export interface SeenIoctl extends Seen {
  /** `ioctl 0x3b99` when no table knows it. */
  readonly name: string;
  readonly object: number;
  readonly objectKind: number;
  /** The argument's bytes; empty when there is none, or it could not be read. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

export interface SeenConfig extends Seen {
  readonly type: 'config-read' | 'config-write';
  readonly offset: number;
  /** What was read, or what was given to be written. */
  readonly bytes: Uint8Array;
}
