// SPDX-License-Identifier: Apache-2.0
import type { AxisScale, ScaleLinear } from 'd3';
import type { D3, Layer, Plot } from './canvas.js';
import { describeAxis } from './marks.js';
import type { Unit } from './units.js';

/** Between two ticks, so that their numbers have room. */
const TICK_ROOM = { across: 70, down: 40 } as const;

interface AxisOptions {
  readonly unit: Unit;
  /** What is measured: `time since the start`. */
  readonly label: string;
}

/** Along the bottom, with its label below. */
export function bottomAxis(
  d3: D3,
  plot: Plot,
  scale: ScaleLinear<number, number>,
  options: AxisOptions,
): void {
  const ticks = niceTicks(d3, scale, options.unit, Math.max(2, plot.width / TICK_ROOM.across));
  const axis = d3
    .axisBottom(scale as AxisScale<number>)
    .tickValues(ticks.values)
    .tickFormat((value) => ticks.text(Number(value)))
    .tickSizeOuter(0);
  const layer = plot.layer.append('g').attr('class', 'axis').attr('transform', `translate(0,${plot.height})`);
  const [from = 0, to = 1] = scale.domain();
  const { name, scale: one } = options.unit;
  describeAxis(layer, { width: plot.width, from: from / one, to: to / one, unit: name });
  layer.call(axis);
  label(layer, options).attr('x', plot.width).attr('y', 34).attr('text-anchor', 'end');
}

/** Along the left, with its label above and lines across the plot. */
export function leftAxis(d3: D3, plot: Plot, scale: ScaleLinear<number, number>, options: AxisOptions): void {
  const ticks = niceTicks(d3, scale, options.unit, Math.max(2, plot.height / TICK_ROOM.down));
  grid(
    plot,
    ticks.values.map((value) => scale(value)),
  );
  const axis = d3
    .axisLeft(scale as AxisScale<number>)
    .tickValues(ticks.values)
    .tickFormat((value) => ticks.text(Number(value)))
    .tickSizeOuter(0);
  const layer = plot.layer.append('g').attr('class', 'axis');
  layer.call(axis);
  label(layer, options).attr('x', 0).attr('y', -10).attr('text-anchor', 'start');
}

function grid(plot: Plot, heights: readonly number[]): void {
  const lines = plot.layer.append('g').attr('class', 'grid');
  for (const y of heights) lines.append('line').attr('x2', plot.width).attr('y1', y).attr('y2', y);
}

function label(layer: Layer, { label, unit }: AxisOptions) {
  return layer
    .append('text')
    .attr('class', 'muted')
    .text(unit.name === '' ? label : `${label}, ${unit.name}`);
}

/** Ticks that are round in the unit, which need not be round in what the scale counts. */
function niceTicks(d3: D3, scale: ScaleLinear<number, number>, unit: Unit, count: number) {
  const [from = 0, to = 1] = scale.domain();
  const ticks = d3.ticks(from / unit.scale, to / unit.scale, count);
  const step = ticks.length > 1 ? (ticks[1] as number) - (ticks[0] as number) : 1;
  const format = d3.format(`,.${d3.precisionFixed(step)}f`);
  return {
    values: ticks.map((tick) => tick * unit.scale),
    text: (value: number) => format(value / unit.scale),
  };
}
