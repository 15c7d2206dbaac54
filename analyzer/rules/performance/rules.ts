// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { PERF_001 } from './perf-001-hot-loads.js';
import { PERF_002 } from './perf-002-mappable.js';
import { PERF_003 } from './perf-003-map-per-request.js';
import { PERF_004 } from './perf-004-small-mappings.js';
import { PERF_005 } from './perf-005-doorbells.js';
import { PERF_006 } from './perf-006-msix.js';
import { PERF_007 } from './perf-007-unmask.js';
import { PERF_008 } from './perf-008-storm.js';
import { PERF_009 } from './perf-009-asked-again.js';
import { PERF_010 } from './perf-010-narrow.js';
import { PERF_011 } from './perf-011-resets.js';
import { PERF_012 } from './perf-012-pinning.js';
import { PERF_013 } from './perf-013-busy-wait.js';

export const PERFORMANCE_RULES: readonly Rule[] = [
  PERF_001,
  PERF_002,
  PERF_003,
  PERF_004,
  PERF_005,
  PERF_006,
  PERF_007,
  PERF_008,
  PERF_009,
  PERF_010,
  PERF_011,
  PERF_012,
  PERF_013,
];
