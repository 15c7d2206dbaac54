// SPDX-License-Identifier: Apache-2.0
/** Title and summary above a picture that stands alone: a page says them beside it. */
import { wrapText } from '../../../abi/text.js';
import type { Chart } from '../chart.js';
import { type Layer, shortened, textWidth } from './canvas.js';

const SIDE = 8;
const TITLE = 24;
const LINE = 16;
const BELOW = 8;
const LINES_MAX = 6;

export interface Heading {
  readonly height: number;
  draw(layer: Layer): void;
}

export function heading({ title, summary }: Chart, width: number): Heading {
  const room = width - 2 * SIDE;
  const lines = shownLines(summary, room);
  return {
    height: TITLE + lines.length * LINE + BELOW,
    draw(layer) {
      layer
        .append('text')
        .attr('class', 'strong')
        .attr('x', SIDE)
        .attr('y', TITLE - 6)
        .text(shortened(title, Math.floor(room / 8)));
      lines.forEach((line, n) => {
        layer
          .append('text')
          .attr('class', 'muted')
          .attr('x', SIDE)
          .attr('y', TITLE + (n + 1) * LINE - 5)
          .text(line);
      });
    },
  };
}

function shownLines(text: string, room: number): readonly string[] {
  const lines = wrapText(text, (line) => textWidth(line) <= room);
  return lines.length <= LINES_MAX ? lines : [...lines.slice(0, LINES_MAX - 1), `${lines[LINES_MAX - 1]} …`];
}
