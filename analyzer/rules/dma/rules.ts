// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { DMA_001 } from './dma-001-bus-master-when-ready.js';
import { DMA_002 } from './dma-002-stop-before-unmap.js';
import { DMA_003 } from './dma-003-explicit-bus-master.js';
import { DMA_004 } from './dma-004-live-addresses.js';
import { DMA_005 } from './dma-005-unmapped-in-use.js';
import { DMA_006 } from './dma-006-aligned.js';
import { DMA_007 } from './dma-007-sensible-size.js';
import { DMA_008 } from './dma-008-locked-memory.js';
import { DMA_009 } from './dma-009-no-overlap.js';
import { DMA_010 } from './dma-010-allowed-iovas.js';
import { DMA_011 } from './dma-011-unmap-exactly.js';
import { DMA_012 } from './dma-012-flags.js';
import { DMA_013 } from './dma-013-least-privilege.js';
import { DMA_014 } from './dma-014-entry-limit.js';
import { DMA_015 } from './dma-015-unmap-before-munmap.js';
import { DMA_016 } from './dma-016-fork.js';
import { DMA_017 } from './dma-017-space-first.js';
import { DMA_018 } from './dma-018-peer-to-peer.js';
import { DMA_019 } from './dma-019-detach-quiet.js';
import { DMA_020 } from './dma-020-shared-container.js';

export const DMA_RULES: readonly Rule[] = [
  DMA_001,
  DMA_002,
  DMA_003,
  DMA_004,
  DMA_005,
  DMA_006,
  DMA_007,
  DMA_008,
  DMA_009,
  DMA_010,
  DMA_011,
  DMA_012,
  DMA_013,
  DMA_014,
  DMA_015,
  DMA_016,
  DMA_017,
  DMA_018,
  DMA_019,
  DMA_020,
];
