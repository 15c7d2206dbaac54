// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOSTILE } from '../../reports/fixtures.js';
import type { Chart } from '../chart.js';
import { bottomAxis, leftAxis } from './axes.js';
import { plotArea, WIDTHS } from './canvas.js';
import { pngRenderer } from './png.js';
import { renderSvg } from './svg.js';
import { sizeUnit, timeUnit } from './units.js';

function sample(text: string): Chart {
  return {
    id: 'sample',
    title: text,
    summary: text,
    table: { columns: [{ name: text }], rows: [[text]] },
    height: 200,
    draw(canvas) {
      const plot = plotArea(canvas, { top: 30, right: 10, bottom: 40, left: 60 });
      const x = canvas.d3.scaleLinear().domain([0, 5e6]).range([0, plot.width]);
      const y = canvas.d3
        .scaleLinear()
        .domain([0, 3 << 20])
        .range([plot.height, 0]);
      leftAxis(canvas.d3, plot, y, { unit: sizeUnit(3 << 20), label: text });
      bottomAxis(canvas.d3, plot, x, { unit: timeUnit(5e6), label: 'time' });
      plot.layer.append('text').text(text);
    },
  };
}

test('an axis has round numbers in one unit, and names it', () => {
  const svg = renderSvg(sample('mapped'), WIDTHS.wide, 'page');
  assert.deepEqual(
    [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text),
    [
      '0',
      '1',
      '2',
      '3',
      'mapped, MiB',
      '0.0',
      '0.5',
      '1.0',
      '1.5',
      '2.0',
      '2.5',
      '3.0',
      '3.5',
      '4.0',
      '4.5',
      '5.0',
      'time, ms',
      'mapped',
    ],
  );
});

test('what is drawn for a page brings no colours of its own, a file brings those of both schemes, an image the light ones', () => {
  const chart = sample('x');
  assert.doesNotMatch(renderSvg(chart, WIDTHS.wide, 'page'), /<style| style=|#[0-9a-f]{6}/);
  assert.match(renderSvg(chart, WIDTHS.wide, 'file'), /prefers-color-scheme:dark/);
  assert.doesNotMatch(renderSvg(chart, WIDTHS.wide, 'image'), /@media/);
});

test('a picture says in words what it shows', () => {
  const svg = renderSvg(sample('what it shows'), WIDTHS.narrow, 'page');
  const [, title, summary] = /aria-labelledby="(\S+) (\S+)"/.exec(svg) ?? [];
  assert.ok(svg.includes(`<title id="${title}">what it shows</title>`));
  assert.ok(svg.includes(`<desc id="${summary}">what it shows</desc>`));
});

test('a picture that stands alone has its title and summary above it, in lines that it has room for', () => {
  const chart = { ...sample('words'), summary: 'what it shows '.repeat(30).trim() };
  const texts = (svg: string) =>
    [...svg.matchAll(/<text class="muted"[^>]*>([^<]*)</g)].map(([, text]) => text as string);
  const svg = renderSvg(chart, WIDTHS.narrow, 'file');
  const lines = texts(svg).filter((text) => text.includes('what'));
  assert.ok(lines.length > 3 && lines.every((line) => line.length < 70), lines.join('\n'));
  const summary = lines.join(' ');
  assert.ok(summary === chart.summary || summary.endsWith(' …'), summary);
  assert.match(svg, /<text class="strong"[^>]*>words</);
  assert.doesNotMatch(renderSvg(chart, WIDTHS.narrow, 'page'), /<text[^>]*>[^<]*what it shows/);
});

test('hostile text stays text', () => {
  const svg = renderSvg(sample(HOSTILE), WIDTHS.wide, 'file');
  assert.doesNotMatch(svg, /<script/);
  assert.doesNotMatch(svg, /<\/style>[^<]*<script/);
  assert.equal(
    [...svg]
      .filter((character) => (character.codePointAt(0) as number) < 0x20 && character !== '\n')
      .join(''),
    '',
  );
});

test('a chart as PNG', async (t) => {
  const render = await pngRenderer();
  if (render === undefined) return t.skip('@resvg/resvg-js is not installed');
  const png = Buffer.from(render(sample('x')));
  assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  // The title and a line of summary are above the picture.
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [2 * WIDTHS.wide, 2 * (200 + 48)]);
  return undefined;
});
