// SPDX-License-Identifier: Apache-2.0
import type { SectionMaker } from './chart.js';
import { performanceSection } from './performance/section.js';
import { sessionSection } from './session.js';

/** What `report` has beside the rules, in its order. */
export const SECTIONS: readonly SectionMaker[] = [sessionSection, performanceSection];
