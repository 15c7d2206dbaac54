// SPDX-License-Identifier: Apache-2.0
import type { Chart } from '../chart.js';
import { leftAxis } from '../frame/axes.js';
import { plotArea } from '../frame/canvas.js';
import { legend } from '../frame/legend.js';
import { marksOf } from '../frame/marks.js';
import { countText, countUnit } from '../frame/units.js';
import { type Activity, BINS, CLASSES } from './activity.js';
import { doubtBand, doubtText, timeAxis, timeScale } from './time-plot.js';

const HEIGHT = 280;

export function rateChart(activity: Activity): Chart {
  const shown = CLASSES.map((name, n) => ({
    name,
    mark: `c${n + 1}`,
    series: activity.classes.of(name),
  })).filter(({ series }) => (series?.total ?? 0) > 0);
  const sums = Array.from({ length: BINS }, (_, bin) =>
    shown.reduce((sum, { series }) => sum + (series?.bins[bin] ?? 0), 0),
  );
  const rate = (count: number): number => count / activity.binSeconds;
  const most = Math.max(...sums.map(rate));
  const total = shown.reduce((sum, { series }) => sum + (series?.total ?? 0), 0);
  return {
    id: 'rate',
    title: 'Events over time',
    summary: `${countText(total, 'event')}, at most ${countText(Math.round(most))} a second.${doubtText(activity)}`,
    table: {
      columns: [
        { name: 'kind' },
        { name: 'events', numeric: true },
        { name: 'most a second', numeric: true },
      ],
      rows: shown.map(({ name, series }) => [
        name,
        countText(series?.total ?? 0),
        countText(Math.round(Math.max(...(series?.bins ?? []).map(rate)))),
      ]),
    },
    height: HEIGHT,
    draw: (canvas) => {
      const top = legend(
        canvas,
        shown.map(({ name: text, mark }) => ({ text, mark })),
        8,
        6,
      );
      const plot = plotArea(canvas, { top: 34, right: 16, bottom: 44, left: 64 }, HEIGHT - top, top);
      const x = timeScale(canvas, plot, activity);
      const y = canvas.d3.scaleLinear().domain([0, most]).nice().range([plot.height, 0]);
      leftAxis(canvas.d3, plot, y, { unit: countUnit(most), label: 'events a second' });
      const marks = marksOf(plot);
      const width = plot.width / BINS;
      for (let bin = 0; bin < BINS; bin++) {
        let below = 0;
        for (const { name, mark, series } of shown) {
          const value = rate(series?.bins[bin] ?? 0);
          if (value === 0) continue;
          marks
            .append('rect')
            .attr('class', mark)
            .attr('x', bin * width)
            .attr('y', y(below + value))
            .attr('width', Math.max(1, width - 0.4))
            .attr('height', Math.max(0.5, y(below) - y(below + value)))
            .append('title')
            .text(`${name}: ${countText(Math.round(value))} a second`);
          below += value;
        }
      }
      doubtBand(marks, plot.width, activity);
      timeAxis(canvas, plot, activity, x);
    },
  };
}
