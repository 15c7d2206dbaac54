// SPDX-License-Identifier: Apache-2.0
import type * as d3 from 'd3';

export type D3 = typeof d3;
export type Layer = d3.Selection<SVGGElement, unknown, null, undefined>;

export interface Margins {
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly left: number;
}

/** A part of the picture with its own origin. */
export interface Plot {
  readonly layer: Layer;
  readonly width: number;
  readonly height: number;
}

/** What a chart draws into. */
export interface Canvas {
  readonly d3: D3;
  readonly root: Layer;
  /** Units of the picture; a chart must read well at each width of `WIDTHS`. */
  readonly width: number;
  readonly height: number;
}

/** Of a window or a page, and of a telephone. */
export const WIDTHS = { wide: 880, narrow: 400 } as const;

export function isNarrow({ width }: Canvas): boolean {
  return width < 600;
}

/** What the margins leave of the canvas, or of `height` of it from `top`. */
export function plotArea(canvas: Canvas, margins: Margins, height = canvas.height, top = 0): Plot {
  return {
    layer: canvas.root.append('g').attr('transform', `translate(${margins.left},${top + margins.top})`),
    width: canvas.width - margins.left - margins.right,
    height: height - margins.top - margins.bottom,
  };
}

/** Of DejaVu Sans, the widest of the theme's fonts. */
const WIDTH_OF_CHARACTER = 7.4;

/** About how wide the text will be: there is no layout on the server. */
export function textWidth(text: string): number {
  return text.length * WIDTH_OF_CHARACTER;
}

/** Cut to so many characters; `keep` the end of a path, the start of everything else. */
export function shortened(text: string, most: number, keep: 'start' | 'end' = 'start'): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  return keep === 'start'
    ? `${characters.slice(0, most - 1).join('')}…`
    : `…${characters.slice(1 - most).join('')}`;
}
