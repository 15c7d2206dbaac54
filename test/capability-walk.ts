// SPDX-License-Identifier: Apache-2.0
import type { Opened, RecordedSession } from '../session/fixtures.js';

/** What every driver does first: along the chain of a card with power management, MSI, MSI-X and PCI Express. */
export function walkCapabilities(s: RecordedSession, device: Opened): void {
  s.configRead(device, 0x34, 1, 0x40);
  for (const [at, header] of [
    [0x40, 0x5001],
    [0x50, 0x7005],
    [0x70, 0x8011],
    [0x80, 0x0010],
  ] as const)
    s.configRead(device, at, 2, header);
}
