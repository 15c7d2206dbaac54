// SPDX-License-Identifier: Apache-2.0
import { Histogram } from '../../performance/histogram.js';
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
function spread(latency: Histogram): string {
  if (latency.count === 1) return `it took ${timeSpanText(latency.min)}`;
  if (latency.count < 100) return `from ${timeSpanText(latency.min)} to ${timeSpanText(latency.max)}`;
  return `half of them within ${timeSpanText(latency.quantile(0.5))}, one in a hundred after more than ${timeSpanText(latency.quantile(0.99))}`;
}

export function doorbellChart(activity: Activity): Chart {
  const { points, answers } = activity;
  const all = new Histogram();
  for (const latency of answers.values()) all.addAll(latency);
  const queues = [...answers.keys()].sort();
  const markOf = (queue: string): string => `c${(queues.indexOf(queue) % COLOURS) + 1}`;
  return {
    id: 'doorbell-to-interrupt',
    title: 'From the doorbell to the interrupt',
    summary: `${countText(all.count, 'doorbell')} answered by an interrupt that woke the driver; ${spread(all)}. An interrupt is taken to answer the oldest doorbell that waits.${all.count > points.length ? ` ${countText(points.length)} of them, at random, are drawn.` : ''}${doubtText(activity)}`,
    table: {
      columns: [
        { name: 'queue' },
        { name: 'answered', numeric: true },
        { name: 'p50', numeric: true },
        { name: 'p99', numeric: true },
        { name: 'longest', numeric: true },
      ],
      rows: queues.map((queue) => {
        const own = answers.get(queue) ?? new Histogram();
        const times = [own.quantile(0.5), own.quantile(0.99), own.max];
        return [queue, countText(own.count), ...times.map(timeSpanText)];
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
      const y = logScale(all.min, all.max, plot.height, 0);
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
