// SPDX-License-Identifier: Apache-2.0
/** Which queue of a device a register speaks for, and in which direction. */

export type QueueRole =
  /** The driver tells the device that there is work. */
  | 'submit'
  /** The driver says how far it has taken what the device completed. */
  | 'complete';

export interface QueueRegister {
  /** `queue 1`, `tx 0`, `rx 0`, `virtqueue 2`. */
  readonly queue: string;
  readonly role: QueueRole;
  /** No register answers a doorbell of the device: its first access after a wake-up does. */
  readonly plain: boolean;
}

const PLAIN = true;
const PATTERNS: readonly (readonly [RegExp, (number: string) => string, QueueRole, typeof PLAIN?])[] = [
  // NVM Express 1.4 §3.1.24 and §3.1.25.
  [/^SQ(\d+)TDBL$/, (n) => `queue ${n}`, 'submit'],
  [/^CQ(\d+)HDBL$/, (n) => `queue ${n}`, 'complete'],
  // Intel 82574 §10.2.6 and §10.2.5: the receive tail gives buffers back that have been taken.
  [/^TDT(?:\[(\d+)\])?$/, (n) => `tx ${n || 0}`, 'submit', PLAIN],
  [/^RDT(?:\[(\d+)\])?$/, (n) => `rx ${n || 0}`, 'complete', PLAIN],
  // Virtual I/O Device 1.1 §4.1.4.4.
  [/^notify(?:\[(\d+)\])?$/, (n) => `virtqueue ${n || 0}`, 'submit', PLAIN],
  [/^queue_notify$/, () => 'virtqueue', 'submit', PLAIN],
];

/** Names are looked at once for each group of each chunk: what they say is kept. */
const known = new Map<string, QueueRegister | undefined>([['', undefined]]);
const KNOWN_MAX = 1 << 12;

export function queueRegister(register: string): QueueRegister | undefined {
  if (known.has(register)) return known.get(register);
  const found = parsed(register);
  if (known.size < KNOWN_MAX) known.set(register, found);
  return found;
}

function parsed(register: string): QueueRegister | undefined {
  for (const [pattern, name, role, plain = false] of PATTERNS) {
    const match = pattern.exec(register);
    if (match !== null) return { queue: name(match[1] ?? ''), role, plain };
  }
  return undefined;
}
