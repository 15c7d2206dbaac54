// SPDX-License-Identifier: Apache-2.0
import type { Chart } from '../chart.js';
import { WIDTHS } from './canvas.js';
import { renderSvg } from './svg.js';

/** A picture on a page that is printed or put on a slide is looked at from nearby. */
const PIXELS_PER_UNIT = 2;

/** Undefined where the package that draws is not there: it is optional, since it is made for some platforms only. */
export async function pngRenderer(): Promise<((chart: Chart) => Uint8Array) | undefined> {
  const { Resvg } = await import('@resvg/resvg-js').catch(() => ({ Resvg: undefined }));
  if (Resvg === undefined) return undefined;
  return (chart) => {
    const image = new Resvg(renderSvg(chart, WIDTHS.wide, 'image'), {
      fitTo: { mode: 'zoom', value: PIXELS_PER_UNIT },
      font: { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans' },
    });
    return image.render().asPng();
  };
}
