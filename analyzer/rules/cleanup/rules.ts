// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { CLN_001 } from './cln-001-unmap.js';
import { CLN_002 } from './cln-002-interrupts-off.js';
import { CLN_003 } from './cln-003-unmap-bars.js';
import { CLN_004 } from './cln-004-order.js';
import { CLN_005 } from './cln-005-descriptors.js';
import { CLN_006 } from './cln-006-every-exit.js';
import { CLN_007 } from './cln-007-anew.js';
import { CLN_008 } from './cln-008-error-paths.js';

export const CLEANUP_RULES: readonly Rule[] = [
  CLN_001,
  CLN_002,
  CLN_003,
  CLN_004,
  CLN_005,
  CLN_006,
  CLN_007,
  CLN_008,
];
