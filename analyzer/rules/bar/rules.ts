// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { BAR_001 } from './bar-001-region-info.js';
import { BAR_002 } from './bar-002-mappable.js';
import { BAR_003 } from './bar-003-sparse-areas.js';
import { BAR_004 } from './bar-004-within-size.js';
import { BAR_005 } from './bar-005-aligned.js';
import { BAR_006 } from './bar-006-plain-accesses.js';
import { BAR_007 } from './bar-007-rom.js';
import { BAR_008 } from './bar-008-whole-registers.js';
import { BAR_009 } from './bar-009-gone.js';
import { BAR_010 } from './bar-010-flush.js';
import { BAR_011 } from './bar-011-protection.js';
import { BAR_012 } from './bar-012-queue-before-doorbell.js';

export const BAR_RULES: readonly Rule[] = [
  BAR_001,
  BAR_002,
  BAR_003,
  BAR_004,
  BAR_005,
  BAR_006,
  BAR_007,
  BAR_008,
  BAR_009,
  BAR_010,
  BAR_011,
  BAR_012,
];
