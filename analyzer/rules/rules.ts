// SPDX-License-Identifier: Apache-2.0
/** The catalogue, in the order in which it is shown. */
import type { Rule } from '../check/rule.js';
import { BAR_RULES } from './bar/rules.js';
import { CLEANUP_RULES } from './cleanup/rules.js';
import { CONFIG_RULES } from './config/rules.js';
import { DMA_RULES } from './dma/rules.js';
import { INTERRUPTS_RULES } from './interrupts/rules.js';
import { LIFECYCLE_RULES } from './lifecycle/rules.js';
import { LYON_RULES } from './lyon2010/rules.js';
import { MSI_RULES } from './msi/rules.js';
import { PERFORMANCE_RULES } from './performance/rules.js';

export const RULES: readonly Rule[] = [
  ...MSI_RULES,
  ...INTERRUPTS_RULES,
  ...LIFECYCLE_RULES,
  ...CONFIG_RULES,
  ...DMA_RULES,
  ...BAR_RULES,
  ...CLEANUP_RULES,
  ...LYON_RULES,
  ...PERFORMANCE_RULES,
];

export function findRule(id: string): Rule | undefined {
  return RULES.find((rule) => rule.id === id);
}
