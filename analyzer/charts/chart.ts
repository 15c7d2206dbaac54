// SPDX-License-Identifier: Apache-2.0
/** What a chart is: figures that were aggregated before, as a picture, as a sentence and as a table (docs/charts.md). */
import type { Story } from '../../session/story/story.js';
import type { StoryWatch } from '../../session/story/watch.js';
import type { Trace } from '../../traces/reader.js';
import type { Canvas } from './frame/canvas.js';

export interface Chart {
  /** `dma-memory`: the name of its files, and its place in a report. */
  readonly id: string;
  readonly title: string;
  /** What the picture says, in a sentence or two with the main figures: for those who can't see it, and for print. */
  readonly summary: string;
  /** The same figures. */
  readonly table: DataTable;
  /** Units of the picture, which is as high on a narrow window. */
  readonly height: number;
  /** At most a few thousand marks, however long the recording. Text of a trace may be drawn as it is. */
  draw(canvas: Canvas): void;
}

export interface DataTable {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  /** Rows that were left out, and why: `412 more, of less than 1% each`. */
  readonly rest?: string;
}

export interface Column {
  readonly name: string;
  /** Set to the right. */
  readonly numeric?: boolean;
}

/** One part of a report beside the rules: text, tables and charts, all as data. */
export interface ReportSection {
  /** Its place in the report: `memory`. */
  readonly id: string;
  readonly title: string;
  /** Plain sentences. */
  readonly text: readonly string[];
  readonly tables: readonly (DataTable & { readonly title: string })[];
  readonly charts: readonly Chart[];
}

/** Reads the trace in a pass of its own; none when the trace has nothing to show. */
export type SectionMaker = (trace: Trace) => readonly ReportSection[];

/** Follows a session and draws what it saw; several of them share one pass. No chart when there was nothing to see. */
export interface ChartCollector extends StoryWatch {
  charts(): readonly Chart[];
}

export type ChartMaker = (story: Story) => ChartCollector;
