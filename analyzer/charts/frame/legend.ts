// SPDX-License-Identifier: Apache-2.0
import { type Canvas, textWidth } from './canvas.js';

export interface LegendEntry {
  /** Of the theme: `c1`. */
  readonly mark: string;
  readonly text: string;
}

const SWATCH = 10;
const GAP = 18;
const LINE = 18;

/** Entries from left to right, in as many lines as they need; answers the height of all lines. */
export function legend(canvas: Canvas, entries: readonly LegendEntry[], x: number, y: number): number {
  const layer = canvas.root.append('g');
  let at = x;
  let line = 0;
  for (const { mark, text } of entries) {
    const width = SWATCH + 5 + textWidth(text) + GAP;
    if (at > x && at + width - GAP > canvas.width) {
      at = x;
      line++;
    }
    const top = y + line * LINE;
    layer
      .append('rect')
      .attr('class', mark)
      .attr('x', at)
      .attr('y', top)
      .attr('width', SWATCH)
      .attr('height', SWATCH);
    layer
      .append('text')
      .attr('x', at + SWATCH + 5)
      .attr('y', top + SWATCH - 1)
      .text(text);
    at += width;
  }
  return (line + 1) * LINE;
}
