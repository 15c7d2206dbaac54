// SPDX-License-Identifier: Apache-2.0
/**
 * What the script of a page needs to find in a picture to zoom it (reports/html/script.ts): marks that may be stretched
 * along the bottom axis, and the axis that they are measured by.
 */
import type { Layer, Plot } from './canvas.js';

/** Marks reach so far beyond the plot: half a circle, a stroke, the band above. */
const BESIDE = 3;
const ABOVE = 10;
const BELOW = 1;

/** Draw here what moves along the bottom axis that is drawn next; what is beyond the plot is cut off. */
export function marksOf({ layer, width, height }: Plot): Layer {
  const [w, h] = [width + 2 * BESIDE, height + ABOVE + BELOW];
  // Not a clip path: that needs an id, which a page with several traces would have twice.
  return layer
    .append('svg')
    .attr('class', 'marks')
    .attr('x', -BESIDE)
    .attr('y', -ABOVE)
    .attr('width', w)
    .attr('height', h)
    .attr('viewBox', `${-BESIDE} ${-ABOVE} ${w} ${h}`)
    .append('g');
}

/** Numbers in the axis' own unit, at its two ends. */
export function describeAxis(
  axis: Layer,
  {
    width,
    from,
    to,
    unit,
  }: { readonly width: number; readonly from: number; readonly to: number; readonly unit: string },
): void {
  axis.attr('data-width', width).attr('data-from', from).attr('data-to', to).attr('data-unit', unit);
}
