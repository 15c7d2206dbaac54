// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { RST_001 } from './rst-001-known-state.js';

export const LIFECYCLE_RULES: readonly Rule[] = [RST_001];
