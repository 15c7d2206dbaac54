// SPDX-License-Identifier: Apache-2.0
/** The part of a report that shows the session in pictures: all charts of one pass. */
import { Story } from '../../session/story/story.js';
import { followAll } from '../../session/story/watch.js';
import type { ChartCollector, ChartMaker, ReportSection, SectionMaker } from './chart.js';
import { configWrites } from './config-writes.js';
import { dmaIova } from './dma-iova.js';
import { dmaMemory } from './dma-memory.js';
import { interrupts } from './interrupts.js';
import { phases } from './phases.js';

/** In the order of the report. */
const MAKERS: readonly ChartMaker[] = [phases, dmaMemory, dmaIova, configWrites, interrupts];

/** For a pass that somebody else makes, too. */
export class SessionCharts {
  readonly watches: readonly ChartCollector[];

  constructor(story: Story) {
    this.watches = MAKERS.map((make) => make(story));
  }

  /** When the pass is over. */
  sections(): readonly ReportSection[] {
    const charts = this.watches.flatMap((collector) => collector.charts());
    return charts.length === 0 ? [] : [{ id: 'session', title: 'The session', text: [], tables: [], charts }];
  }
}

export const sessionSection: SectionMaker = (trace) => {
  const story = new Story(trace);
  const charts = new SessionCharts(story);
  followAll(story, charts.watches);
  return charts.sections();
};
