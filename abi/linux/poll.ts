// SPDX-License-Identifier: Apache-2.0
/** Events of poll(2) and epoll(7): the low bits are the same (asm-generic/poll.h, linux/eventpoll.h). */
import { flagNames, flagTable } from '../names.js';

export const POLL_EVENTS = flagTable('POLL', {
  IN: 0x1,
  PRI: 0x2,
  OUT: 0x4,
  ERR: 0x8,
  HUP: 0x10,
  NVAL: 0x20,
  RDNORM: 0x40,
  RDBAND: 0x80,
  WRNORM: 0x100,
  WRBAND: 0x200,
  MSG: 0x400,
  RDHUP: 0x2000,
});

export function pollEvents(events: number): string {
  return flagNames(POLL_EVENTS, events);
}
