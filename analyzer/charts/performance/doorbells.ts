// SPDX-License-Identifier: Apache-2.0
import type { Chart } from '../chart.js';
import { plotArea } from '../frame/canvas.js';
import { legend } from '../frame/legend.js';
import { marksOf } from '../frame/marks.js';
import { countText, timeSpanText } from '../frame/units.js';
import type { Activity } from './activity.js';
import { logLeftAxis, logScale } from './log-axis.js';
import { doubtBand, doubtText, timeAxis, timeScale } from './time-plot.js';

const HEIGHT = 300;
const COLOURS = 8;

/** Of a few, parts in a hundred say nothing. */
function spread(pairs: number, at: (part: number) => number): string {
  if (pairs === 1) return `it took ${timeSpanText(at(0))}`;
  if (pairs < 100) return `from ${timeSpanText(at(0))} to ${timeSpanText(at(1))}`;
  return `half of them within ${timeSpanText(at(0.5))}, one in a hundred after more than ${timeSpanText(at(0.99))}`;
}

export function doorbellChart(activity: Activity): Chart {
  const { points, pairs } = activity;
  const sorted = points.map(({ latency }) => latency).sort((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  const queues = [...new Set(points.map(({ queue }) => queue))].sort();
  const markOf = (queue: string): string => `c${(queues.indexOf(queue) % COLOURS) + 1}`;
  return {
    id: 'doorbell-to-interrupt',
    title: 'From the doorbell to the interrupt',
    summary: `${countText(pairs, 'doorbell')} answered by an interrupt that woke the driver; ${spread(pairs, at)}. An interrupt is taken to answer the oldest doorbell that waits.${pairs > points.length ? ` ${countText(points.length)} of them, at random, are drawn.` : ''}${doubtText(activity)}`,
    table: {
      columns: [
        { name: 'queue' },
        { name: 'drawn', numeric: true },
        { name: 'p50', numeric: true },
        { name: 'longest', numeric: true },
      ],
      rows: queues.map((queue) => {
        const own = points
          .filter((point) => point.queue === queue)
          .map(({ latency }) => latency)
          .sort((a, b) => a - b);
        return [
          queue,
          countText(own.length),
          timeSpanText(own[own.length >> 1] ?? 0),
          timeSpanText(own.at(-1) ?? 0),
        ];
      }),
    },
    height: HEIGHT,
    draw: (canvas) => {
      const top = legend(
        canvas,
        queues.slice(0, COLOURS).map((text) => ({ mark: markOf(text), text })),
        8,
        6,
      );
      const plot = plotArea(canvas, { top: 34, right: 16, bottom: 44, left: 64 }, HEIGHT - top, top);
      const x = timeScale(canvas, plot, activity);
      const y = logScale(sorted[0] ?? 1, sorted.at(-1) ?? 10, plot.height, 0);
      logLeftAxis(canvas, plot, y, 'from doorbell to wake-up (logarithmic)');
      const marks = marksOf(plot);
      for (const { time, latency, queue } of points)
        marks
          .append('circle')
          .attr('class', markOf(queue))
          .attr('cx', x(time))
          .attr('cy', y(latency))
          .attr('r', points.length > 300 ? 1.6 : 3)
          .append('title')
          .text(`${queue}: ${timeSpanText(latency)}`);
      doubtBand(marks, plot.width, activity);
      timeAxis(canvas, plot, activity, x);
    },
  };
}
