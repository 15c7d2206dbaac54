// SPDX-License-Identifier: Apache-2.0
/** How long calls took: how they are spread, and how many took no longer. */
import type { Histogram } from '../../performance/histogram.js';
import type { Chart } from '../chart.js';
import { plotArea } from '../frame/canvas.js';
import { legend } from '../frame/legend.js';
import { marksOf } from '../frame/marks.js';
import { countText, timeSpanText } from '../frame/units.js';
import { logBottomAxis, logScale } from './log-axis.js';

export interface Operation {
  readonly name: string;
  readonly latency: Histogram;
}

/** As many as there are colours. */
export const OPERATIONS_SHOWN = 6;
const BARS = 60;
const PANEL = 70;
const HEIGHT = 300;

function table(operations: readonly Operation[]): Chart['table'] {
  return {
    columns: [
      { name: 'operation' },
      { name: 'timed', numeric: true },
      { name: 'p50', numeric: true },
      { name: 'p99', numeric: true },
      { name: 'longest', numeric: true },
      { name: 'in all', numeric: true },
    ],
    rows: operations.map(({ name, latency }) => [
      name,
      countText(latency.count),
      timeSpanText(latency.quantile(0.5)),
      timeSpanText(latency.quantile(0.99)),
      timeSpanText(latency.max),
      timeSpanText(latency.sum),
    ]),
  };
}

function bounds(operations: readonly Operation[]): readonly [number, number] {
  return [
    Math.min(...operations.map(({ latency }) => latency.min)),
    Math.max(...operations.map(({ latency }) => latency.max)),
  ];
}

/** `operations`: those that took longest in all, first. */
export function distributionChart(operations: readonly Operation[]): Chart {
  const [first] = operations;
  const [least, most] = bounds(operations);
  return {
    id: 'latency',
    title: 'How long calls take',
    summary: `${operations.length === 1 ? 'The operation that takes' : `The ${operations.length} operations that take`} the most time; ${first?.name ?? ''} takes ${timeSpanText(first?.latency.sum ?? 0)} in all, half of its calls up to ${timeSpanText(first?.latency.quantile(0.5) ?? 0)} each.${operations.some(({ name }) => name === 'wake') ? ' wake is the sleep until an interrupt came.' : ''}`,
    table: table(operations),
    height: operations.length * PANEL + 56,
    draw: (canvas) => {
      operations.forEach(({ name, latency }, n) => {
        const plot = plotArea(canvas, { top: 18, right: 30, bottom: 4, left: 26 }, PANEL, n * PANEL);
        const scale = logScale(least, most, 0, plot.width);
        const counts = new Float64Array(BARS);
        for (const { from, to, count } of latency.buckets()) {
          const at = Math.min(
            BARS - 1,
            Math.max(0, Math.floor((scale((from + to - 1) / 2) / plot.width) * BARS)),
          );
          counts[at] = (counts[at] as number) + count;
        }
        const highest = Math.max(...counts);
        plot.layer
          .append('text')
          .attr('class', 'strong')
          .attr('y', -5)
          .text(`${name}  ×${countText(latency.count)}`);
        const marks = marksOf(plot);
        counts.forEach((count, at) => {
          if (count === 0) return;
          const height = Math.max(1, (count / highest) * plot.height);
          marks
            .append('rect')
            .attr('class', `c${n + 1}`)
            .attr('x', (at * plot.width) / BARS)
            .attr('y', plot.height - height)
            .attr('width', plot.width / BARS - 1)
            .attr('height', height)
            .append('title')
            .text(
              `${name}: ${countText(count)} of ${timeSpanText(scale.at((at * plot.width) / BARS))} to ${timeSpanText(scale.at(((at + 1) * plot.width) / BARS))}`,
            );
        });
        plot.layer
          .append('g')
          .attr('class', 'axis')
          .append('line')
          .attr('x2', plot.width)
          .attr('y1', plot.height)
          .attr('y2', plot.height);
      });
      const foot = plotArea(
        canvas,
        { top: 0, right: 30, bottom: 44, left: 26 },
        50,
        operations.length * PANEL,
      );
      const scale = logScale(least, most, 0, foot.width);
      logBottomAxis({ decades: scale.decades, scale, label: 'duration (logarithmic)' }, foot);
    },
  };
}

function tail(operations: readonly Operation[]): string {
  const worst = (list: readonly Operation[], part: number): Operation | undefined =>
    list.toSorted((a, b) => b.latency.quantile(part) - a.latency.quantile(part))[0];
  const frequent = worst(
    operations.filter(({ latency }) => latency.count >= 100),
    0.99,
  );
  const longest = worst(operations, 1);
  const texts = [
    ...(frequent === undefined
      ? []
      : [
          `One call in a hundred of ${frequent.name} takes longer than ${timeSpanText(frequent.latency.quantile(0.99))}.`,
        ]),
    ...(longest === undefined
      ? []
      : [`The longest call is one of ${longest.name}: ${timeSpanText(longest.latency.max)}.`]),
  ];
  return texts.join(' ');
}

export function cumulativeChart(operations: readonly Operation[]): Chart {
  const [least, most] = bounds(operations);
  return {
    id: 'latency-cumulative',
    title: 'How many calls take no longer',
    summary: tail(operations),
    table: table(operations),
    height: HEIGHT,
    draw: (canvas) => {
      const entries = operations.map(({ name: text }, n) => ({ mark: `c${n + 1}`, text }));
      const top = legend(canvas, entries, 8, 6);
      const plot = plotArea(canvas, { top: 28, right: 30, bottom: 44, left: 52 }, HEIGHT - top, top);
      const scale = logScale(least, most, 0, plot.width);
      const grid = plot.layer.append('g').attr('class', 'grid');
      const axis = plot.layer.append('g').attr('class', 'axis');
      for (const part of [0, 0.25, 0.5, 0.75, 1]) {
        const y = plot.height * (1 - part);
        grid.append('line').attr('x2', plot.width).attr('y1', y).attr('y2', y);
        axis
          .append('text')
          .attr('x', -8)
          .attr('y', y + 4)
          .attr('text-anchor', 'end')
          .text(`${part * 100} %`);
      }
      const marks = marksOf(plot);
      operations.forEach(({ name, latency }, n) => {
        let seen = 0;
        let path = `M${scale(latency.min).toFixed(1)},${plot.height}`;
        let last = Number.NEGATIVE_INFINITY;
        for (const { to, count } of latency.buckets()) {
          seen += count;
          const x = scale(Math.min(to, latency.max));
          const end = seen === latency.count;
          if (x - last < 1 && !end) continue;
          last = x;
          // A step: no call took what lies between.
          path += `H${x.toFixed(1)}V${(plot.height * (1 - seen / latency.count)).toFixed(1)}`;
        }
        marks
          .append('path')
          .attr('class', `l${n + 1}`)
          .attr('d', path);
        marks
          .append('path')
          .attr('class', `l${n + 1} reach`)
          .attr('d', path)
          .append('title')
          .text(
            `${name}: half within ${timeSpanText(latency.quantile(0.5))}, 99 % within ${timeSpanText(latency.quantile(0.99))}`,
          );
      });
      logBottomAxis({ decades: scale.decades, scale, label: 'duration (logarithmic)' }, plot);
    },
  };
}
