// SPDX-License-Identifier: Apache-2.0
/** What only the interface of 2010 asks; the other families hold for it, too. */
import type { Rule } from '../../check/rule.js';
import { LYON_001 } from './lyon-001-domain-first.js';
import { LYON_002 } from './lyon-002-listens.js';

export const LYON_RULES: readonly Rule[] = [LYON_001, LYON_002];
