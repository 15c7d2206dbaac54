// SPDX-License-Identifier: Apache-2.0
/**
 * Colours live in classes, never in the marks: the same picture is read in the light, in the dark and in print.
 *
 * `c1` … `c8`: areas and bars of the series; `l1` … `l8`: lines; `h0` … `h8`: steps of a heat map, from none to most;
 * `good`, `bad`: areas that say so; `reach`: a line not seen, wide enough to be pointed at; `axis`, `grid`, `muted`, `strong`, `note`: what stands around them. Text is ink by itself.
 */
interface Theme {
  readonly paper: string;
  readonly ink: string;
  readonly muted: string;
  readonly axis: string;
  readonly grid: string;
  readonly good: string;
  readonly bad: string;
  readonly series: readonly string[];
  readonly heat: readonly string[];
}

/** Series of both themes are told apart by those who see no red and green, and by their lightness in a grey print. */
export const LIGHT: Theme = {
  paper: '#ffffff',
  ink: '#1f2328',
  muted: '#59636e',
  axis: '#818b98',
  grid: '#e4e8ec',
  good: '#2c8a57',
  bad: '#c4361c',
  series: ['#2f6fb0', '#e08a2c', '#3f9b7a', '#b5495b', '#7d6bb0', '#5aa9c8', '#8f7346', '#9aa4ae'],
  heat: ['#f1f3f5', '#d9ecf2', '#b5dbe8', '#86c3da', '#55a5c8', '#3384b3', '#22659a', '#17487c', '#0d2c57'],
};

export const DARK: Theme = {
  paper: '#14181d',
  ink: '#e6eaee',
  muted: '#9aa5b1',
  axis: '#6c7782',
  grid: '#2a3138',
  good: '#4fb37f',
  bad: '#f0705a',
  series: ['#6aa5e0', '#f0a550', '#62c29d', '#e07a8b', '#a897dc', '#7fcbe6', '#c2a470', '#8a949e'],
  heat: ['#20262d', '#17324a', '#1a4566', '#205d86', '#2d7aa5', '#4799c0', '#70b8d6', '#a3d5e8', '#dcf1f8'],
};

export const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', 'Liberation Sans', sans-serif";

function rules({ paper, ink, muted, axis, grid, good, bad, series, heat }: Theme): string {
  return [
    `.chart .paper{fill:${paper}}`,
    `.chart text{fill:${ink}}`,
    `.chart .muted{fill:${muted}}`,
    `.chart .axis text{fill:${muted}}`,
    `.chart .axis line,.chart .axis path{stroke:${axis};fill:none}`,
    `.chart .grid line{stroke:${grid}}`,
    `.chart .note{stroke:${muted};fill:none}`,
    `.chart .good{fill:${good}}`,
    `.chart .bad{fill:${bad}}`,
    ...series.map(
      (color, i) => `.chart .c${i + 1}{fill:${color}}.chart .l${i + 1}{stroke:${color};fill:none}`,
    ),
    ...heat.map((color, i) => `.chart .h${i}{fill:${color}}`),
  ].join('\n');
}

/** Plain selectors only: what draws PNGs knows no others. */
const SHAPES = `.chart text{font-family:${FONT};font-size:12px}
.chart .axis text{font-size:11px}
.chart .strong{font-weight:600}
.chart .reach{opacity:0;stroke-width:12px}
${LIGHT.heat.map((_, i) => `.chart .h${i}`).join(',')}{shape-rendering:crispEdges}`;

/** `light` for what can't ask the reader which one is wanted: a PNG. */
export function chartStyles(scheme: 'light' | 'both'): string {
  const light = `${SHAPES}\n${rules(LIGHT)}`;
  return scheme === 'light'
    ? light
    : `${light}\n@media screen and (prefers-color-scheme:dark){\n${rules(DARK)}\n}`;
}
