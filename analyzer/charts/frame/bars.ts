// SPDX-License-Identifier: Apache-2.0
/** Bars that lie, one a row, with the row's name at the left and its number at the right. */
import { type Canvas, isNarrow, plotArea, shortened, textWidth } from './canvas.js';
import { countText } from './units.js';

export interface BarRow {
  readonly name: string;
  /** From the left: how much, the mark of the theme, and what the part is if the row has several. */
  readonly parts: readonly { readonly value: number; readonly mark: string; readonly name?: string }[];
  /** At the end of the bar; the sum unless given. */
  readonly label?: string;
}

const ROW = 22;
const BAR = 14;
const ABOVE = 8;
const BELOW = 8;

/** The height of a canvas with so many rows, and `more` for what else is on it. */
export function barsHeight(rows: number, more = 0): number {
  return rows * ROW + ABOVE + BELOW + more;
}

/** Draws the rows from `top` down. */
export function bars(canvas: Canvas, rows: readonly BarRow[], top = 0): void {
  const sum = ({ parts }: BarRow) => parts.reduce((total, { value }) => total + value, 0);
  const most = Math.max(1, ...rows.map(sum));
  const characters = isNarrow(canvas) ? 20 : 44;
  const names = rows.map(({ name }) => shortened(name, characters));
  const labels = rows.map((row) => row.label ?? countText(sum(row)));
  const left = 16 + Math.max(...names.map(textWidth), 0);
  const right = 14 + Math.max(...labels.map(textWidth), 0);
  const height = rows.length * ROW + ABOVE + BELOW;
  const plot = plotArea(canvas, { top: ABOVE, right, bottom: BELOW, left }, height, top);
  const x = canvas.d3.scaleLinear().domain([0, most]).range([0, plot.width]);
  const middle = ROW / 2;
  rows.forEach((row, i) => {
    const layer = plot.layer.append('g').attr('transform', `translate(0,${i * ROW})`);
    layer
      .append('text')
      .attr('x', -8)
      .attr('y', middle + 4)
      .attr('text-anchor', 'end')
      .text(names[i] as string);
    let at = 0;
    for (const { value, mark, name } of row.parts) {
      if (value <= 0) continue;
      const from = x(at);
      at += value;
      layer
        .append('rect')
        .attr('class', mark)
        .attr('x', from)
        .attr('y', middle - BAR / 2)
        // Even the least of many thousands is seen.
        .attr('width', Math.max(1, x(at) - from))
        .attr('height', BAR)
        .append('title')
        .text(`${row.name}: ${name === undefined ? '' : `${name} `}${countText(value)}`);
    }
    layer
      .append('text')
      .attr('class', 'muted')
      .attr('x', Math.max(1, x(at)) + 6)
      .attr('y', middle + 4)
      .text(labels[i] as string);
  });
  plot.layer
    .append('g')
    .attr('class', 'axis')
    .append('line')
    .attr('y2', rows.length * ROW);
}
