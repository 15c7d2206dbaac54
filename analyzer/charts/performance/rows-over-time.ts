// SPDX-License-Identifier: Apache-2.0
/** Rows over time as a heat map: the lanes of threads, queues and vectors, and registers. */
import type { Chart } from '../chart.js';
import { isNarrow, plotArea, shortened, textWidth } from '../frame/canvas.js';
import { legend } from '../frame/legend.js';
import { marksOf } from '../frame/marks.js';
import { countText, timeSpanText } from '../frame/units.js';
import type { Activity, Series } from './activity.js';
import { cellLegend, cells, doubtBand, doubtText, timeAxis, timeScale } from './time-plot.js';

const ROW = 18;
const ABOVE = 42;
const BELOW = 44;

export interface RowGroup {
  /** What each row is: `thread`. */
  readonly name: string;
  readonly rows: readonly Series[];
  /** Different ones that have no row. */
  readonly leftOut: number;
}

/** `3 threads`, `24 of 195 registers (the busiest)`. */
function groupText({ name, rows, leftOut }: RowGroup): string {
  return leftOut === 0
    ? countText(rows.length, name)
    : `${countText(rows.length)} of ${countText(rows.length + leftOut, name)} (the busiest)`;
}

export function rowsOverTime(
  activity: Activity,
  about: { readonly id: string; readonly title: string; readonly unit: string },
  groups: readonly RowGroup[],
): Chart {
  const rows = groups.flatMap(({ name, rows: list }) => list.map((series) => ({ group: name, series })));
  const leftOut = groups.reduce((sum, group) => sum + group.leftOut, 0);
  const busiest = rows.reduce<Series | undefined>(
    (best, { series }) => (best === undefined || series.total > best.total ? series : best),
    undefined,
  );
  return {
    id: about.id,
    title: about.title,
    summary: `${groups
      .filter(({ rows: list }) => list.length > 0)
      .map(groupText)
      .join(
        ', ',
      )}; most in ${busiest?.name ?? 'none'} (${countText(busiest?.total ?? 0)} ${about.unit}). Darker is more, in steps of a logarithm.${doubtText(activity)}`,
    table: {
      columns: [{ name: 'kind' }, { name: 'name' }, { name: about.unit, numeric: true }],
      rows: rows.map(({ group, series }) => [group, series.name, countText(series.total)]),
      ...(leftOut > 0 && { rest: `${countText(leftOut)} more, with fewer` }),
    },
    height: rows.length * ROW + ABOVE + BELOW,
    draw: (canvas) => {
      const characters = isNarrow(canvas) ? 18 : 34;
      const names = rows.map(({ series }) => shortened(series.name, characters, 'end'));
      const left = 16 + Math.max(0, ...names.map(textWidth));
      const plot = plotArea(canvas, { top: ABOVE, right: 16, bottom: BELOW, left });
      const most = rows.reduce((sum, { series }) => Math.max(sum, ...series.bins), 1);
      legend(canvas, cellLegend(most, `${about.unit} in ${timeSpanText(activity.binSeconds * 1e9)}`), 8, 6);
      rows.forEach((_, n) => {
        const y = n * ROW;
        plot.layer
          .append('rect')
          .attr('class', 'h0')
          .attr('y', y)
          .attr('width', plot.width)
          .attr('height', ROW - 2);
        plot.layer
          .append('text')
          .attr('x', -8)
          .attr('y', y + ROW - 6)
          .attr('text-anchor', 'end')
          .text(names[n] as string);
      });
      const marks = marksOf(plot);
      rows.forEach(({ series }, n) => {
        const y = n * ROW;
        cells(
          { marks, width: plot.width },
          { bins: series.bins, y, height: ROW - 2, name: series.name, unit: about.unit },
          most,
        );
      });
      doubtBand(marks, plot.width, activity);
      timeAxis(canvas, plot, activity, timeScale(canvas, plot, activity));
    },
  };
}
