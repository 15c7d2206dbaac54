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

/** Of DejaVu Sans at 12, the widest of the theme's fonts; of many alike, the widest. */
const WIDTHS_OF_CHARACTERS: readonly (readonly [characters: RegExp, width: number])[] = [
  [/[^\u0020-\u02ff]|[MW@%m]/, 12],
  [/[ijlI.,:;'|! ]/, 4.1],
  [/[A-Zw]/, 9.6],
  [/[frst\-/()[\]]/, 6.3],
];
const WIDTH_OF_OTHERS = 7.7;

/** About how wide the text will be, rather more than less: there is no layout on the server. */
export function textWidth(text: string): number {
  let sum = 0;
  for (const character of text)
    sum += WIDTHS_OF_CHARACTERS.find(([set]) => set.test(character))?.[1] ?? WIDTH_OF_OTHERS;
  return sum;
}

/** Cut to so many characters; `keep` the end of a path, the start of everything else. */
export function shortened(text: string, most: number, keep: 'start' | 'end' = 'start'): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  return keep === 'start'
    ? `${characters.slice(0, most - 1).join('')}…`
    : `…${characters.slice(1 - most).join('')}`;
}
