// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { CFG_001 } from './cfg-001-bars-are-virtual.js';
import { CFG_002 } from './cfg-002-ids.js';
import { CFG_003 } from './cfg-003-dropped-writes.js';
import { CFG_004 } from './cfg-004-raw-writes.js';
import { CFG_005 } from './cfg-005-shape.js';
import { CFG_006 } from './cfg-006-command-rmw.js';
import { CFG_007 } from './cfg-007-memory-enable.js';
import { CFG_008 } from './cfg-008-pointless.js';
import { CFG_009 } from './cfg-009-power.js';
import { CFG_010 } from './cfg-010-around-vfio.js';
import { CFG_011 } from './cfg-011-walk.js';

export const CONFIG_RULES: readonly Rule[] = [
  CFG_001,
  CFG_002,
  CFG_003,
  CFG_004,
  CFG_005,
  CFG_006,
  CFG_007,
  CFG_008,
  CFG_009,
  CFG_010,
  CFG_011,
];
