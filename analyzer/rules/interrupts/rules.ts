// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { ERR_001 } from './err-001-errors.js';
import { INTX_001 } from './intx-001-unmask.js';
import { INTX_002 } from './intx-002-serve-first.js';
import { INTX_003 } from './intx-003-shared-line.js';
import { INTX_004 } from './intx-004-disabled-line.js';
import { INTX_005 } from './intx-005-one-vector.js';
import { INTX_006 } from './intx-006-no-line.js';
import { IRQ_001 } from './irq-001-within-count.js';
import { IRQ_002 } from './irq-002-one-kind.js';
import { IRQ_003 } from './irq-003-well-formed.js';
import { IRQ_004 } from './irq-004-live-eventfds.js';
import { IRQ_005 } from './irq-005-noresize.js';
import { IRQ_006 } from './irq-006-mask-intx-only.js';
import { IRQ_007 } from './irq-007-consume.js';
import { IRQ_008 } from './irq-008-closed-trigger.js';
import { IRQ_009 } from './irq-009-one-eventfd-each.js';
import { IRQ_010 } from './irq-010-loopback.js';
import { IRQ_011 } from './irq-011-enabled-vectors.js';
import { REQ_001 } from './req-001-request-line.js';
import { REQ_002 } from './req-002-give-back.js';

export const INTERRUPTS_RULES: readonly Rule[] = [
  IRQ_001,
  IRQ_002,
  IRQ_003,
  IRQ_004,
  IRQ_005,
  IRQ_006,
  IRQ_007,
  IRQ_008,
  IRQ_009,
  IRQ_010,
  IRQ_011,
  INTX_001,
  INTX_002,
  INTX_003,
  INTX_004,
  INTX_005,
  INTX_006,
  ERR_001,
  REQ_001,
  REQ_002,
];
