// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const CLEANUP_RULES: readonly Rule[] = [];
