// SPDX-License-Identifier: Apache-2.0
/**
 * d3-node comes without types, and the project's code must not see a browser's globals: this is what the frame uses of
 * d3-node and of jsdom's elements.
 */
declare module 'd3-node' {
  import type * as d3 from 'd3';

  export class D3Node {
    constructor();
    readonly d3: typeof d3;
    /** jsdom's. */
    readonly window: { readonly XMLSerializer: new () => { serializeToString(node: unknown): string } };
    createSVG(
      width: number,
      height: number,
      attributes: Readonly<Record<string, string>>,
    ): d3.Selection<SVGSVGElement, unknown, null, undefined>;
  }
}

interface Element {
  readonly children: { readonly length: number };
  textContent: string | null;
}
interface SVGElement extends Element {}
interface SVGGElement extends SVGElement {}
interface SVGSVGElement extends SVGElement {}
