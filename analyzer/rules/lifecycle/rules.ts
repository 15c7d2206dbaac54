// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { LIF_001 } from './lif-001-version-and-type.js';
import { LIF_002 } from './lif-002-viable.js';
import { LIF_003 } from './lif-003-order.js';
import { LIF_004 } from './lif-004-argsz.js';
import { LIF_005 } from './lif-005-one-process.js';
import { LIF_006 } from './lif-006-low-power.js';
import { LIF_007 } from './lif-007-d0.js';
import { LIF_008 } from './lif-008-removal.js';
import { LIF_009 } from './lif-009-noiommu.js';
import { RST_001 } from './rst-001-known-state.js';
import { RST_002 } from './rst-002-reset-at-close.js';
import { RST_003 } from './rst-003-anew-after-reset.js';
import { RST_004 } from './rst-004-quiet-before-reset.js';
import { RST_005 } from './rst-005-reset-ioctl.js';
import { RST_006 } from './rst-006-hot-reset.js';
import { RST_007 } from './rst-007-result.js';
import { RST_008 } from './rst-008-recovery-time.js';

export const LIFECYCLE_RULES: readonly Rule[] = [
  RST_001,
  RST_002,
  RST_003,
  RST_004,
  RST_005,
  RST_006,
  RST_007,
  RST_008,
  LIF_001,
  LIF_002,
  LIF_003,
  LIF_004,
  LIF_005,
  LIF_006,
  LIF_007,
  LIF_008,
  LIF_009,
];
