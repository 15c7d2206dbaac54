// SPDX-License-Identifier: Apache-2.0
/** QEMU's teaching device (QEMU docs/specs/edu). */
import { register } from '../register.js';
import type { RegisterMap } from './map.js';

export const EDU: RegisterMap = {
  name: 'edu',
  source: 'QEMU docs/specs/edu',
  match: [{ vendor: 0x1234, devices: [0x11e8] }],
  blocks: [
    {
      region: 0,
      base: 0,
      registers: [
        register('ID', 0x00, 4, { fields: { MINOR: [16, 8], MAJOR: [24, 8] } }),
        register('LIVENESS', 0x04, 4),
        register('FACTORIAL', 0x08, 4),
        register('STATUS', 0x20, 4, { fields: { COMPUTING: 0, RAISE_IRQ: 7 } }),
        register('IRQ_STATUS', 0x24, 4),
        register('IRQ_RAISE', 0x60, 4),
        register('IRQ_ACK', 0x64, 4),
        register('DMA_SOURCE', 0x80, 8),
        register('DMA_DESTINATION', 0x88, 8),
        register('DMA_COUNT', 0x90, 8),
        register('DMA_COMMAND', 0x98, 8, {
          fields: { START: 0, DIRECTION: [1, 1, { 0: 'to-device', 1: 'from-device' }], RAISE_IRQ: 2 },
        }),
      ],
    },
  ],
};
