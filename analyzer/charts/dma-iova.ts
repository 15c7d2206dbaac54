// SPDX-License-Identifier: Apache-2.0
/** Which IOVAs were mapped for DMA, and when: a row for each area, as high as the logarithm of its size. */

import { hex } from '../../abi/text.js';
import { greatest } from '../../session/intervals.js';
import type { DmaSpace } from '../../session/story/address-spaces.js';
import type { Chart, ChartMaker } from './chart.js';
import { type Area, DmaAreas, type Life, union } from './dma-areas.js';
import { bottomAxis } from './frame/axes.js';
import { plotArea } from './frame/canvas.js';
import { legend } from './frame/legend.js';
import { marksOf } from './frame/marks.js';
import { timeSpan } from './frame/time-span.js';
import { countText, sizeText, timeSpanText, timeUnit } from './frame/units.js';

const SPACES = 4;
const AREAS = 200;
const MARKS = 1000;
const TABLE_ROWS = 60;
const ROWS_HEIGHT = 360;
const LEGEND = 24;
const AXIS = 46;
const LABEL_ROOM = 13;
const PAGE = 4096;
/** What was hardly ever mapped is seen, too. */
const PALEST = 0.25;

export const dmaIova: ChartMaker = (story) => {
  const spaces = new Map<DmaSpace, DmaAreas>();
  return {
    on: {
      'dma-map': ({ space, mapping, event, ok }) => {
        if (!ok) return;
        let areas = spaces.get(space);
        if (areas === undefined) {
          areas = new DmaAreas();
          spaces.set(space, areas);
        }
        areas.map(mapping, event.time + event.duration);
      },
      'dma-unmap': ({ space, mappings, event }) => {
        for (const mapping of mappings) spaces.get(space)?.unmap(mapping, event.time);
      },
    },
    charts: () =>
      [...spaces]
        .map(([space, areas]) => ({ space, areas: areas.areas(AREAS, story.latest.time) }))
        .sort((a, b) => maps(b.areas) - maps(a.areas))
        .slice(0, SPACES)
        .map(({ space, areas }, i) => {
          const object = story.session.names.name(space.object);
          const name = space.ioas === 0 ? object : `${object} IOAS ${space.ioas}`;
          return draw(
            i === 0 ? 'dma-iova' : `dma-iova-${i + 1}`,
            name,
            areas,
            timeSpan(story.trace).from,
            story.latest.time,
          );
        }),
  };
};

function maps(areas: readonly Area[]): number {
  return areas.reduce((sum, area) => sum + area.maps, 0);
}

function rights({ readable, writable }: Area): string {
  return readable && writable ? 'read and write' : writable ? 'write' : readable ? 'read' : 'none';
}

function mark({ readable, writable }: Area): string {
  return readable && writable ? 'c1' : writable ? 'c2' : 'c3';
}

function bytesOf({ start, end }: Area): number {
  return Number(end - start);
}

/** How much of the area was mapped in this part of the time, on average: 1 where all of it was all the time. */
function share(area: Area, { from, to, held }: Life, end: number): number {
  return Math.min(1, held / (bytesOf(area) * Math.max(1, Math.min(to, end) - from)));
}

/** Nothing for all of it. */
function shareText(part: number): string {
  if (part >= 0.995) return '';
  return `; ${part < 0.01 ? 'less than 1' : Math.round(part * 100)} % of it was mapped, on average`;
}

interface PlacedArea {
  readonly area: Area;
  readonly top: number;
  readonly height: number;
}

/** From the lowest IOVA up; a gap where addresses are left out. */
function place(areas: readonly Area[]): { readonly placed: readonly PlacedArea[]; readonly height: number } {
  const heights = areas.map(({ start, end }) => 7 + 2.5 * Math.max(0, Math.log2(Number(end - start) / PAGE)));
  const gaps = areas.map(({ start }, i) => (i === 0 ? 0 : start <= (areas[i - 1] as Area).end ? 1 : 7));
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  const scale = Math.min(1, ROWS_HEIGHT / (sum(heights) + sum(gaps)));
  let top = 0;
  const placed = areas.map((area, i) => {
    top += (gaps[i] as number) * scale;
    const height = (heights[i] as number) * scale;
    const one = { area, top, height };
    top += height;
    return one;
  });
  return { placed, height: top };
}

function draw(id: string, name: string, areas: readonly Area[], begin: number, end: number): Chart {
  const { placed, height } = place(areas);
  const mapped = (area: Area) => area.lives.reduce((sum, { held }) => sum + held, 0) / bytesOf(area);
  const lowest = areas[0]?.start ?? 0n;
  const highest = areas.reduce((most, area) => greatest(most, area.end), 0n);
  const rows = [...areas].sort((a, b) => bytesOf(b) - bytesOf(a)).slice(0, TABLE_ROWS);
  const left = areas.length - rows.length;
  const total = maps(areas);
  const kinds = [
    { mark: 'c1', text: 'device reads and writes' },
    { mark: 'c3', text: 'device reads' },
    { mark: 'c2', text: 'device writes' },
  ].filter((kind) => areas.some((area) => mark(area) === kind.mark));
  return {
    id,
    title: `Memory mapped for DMA, by IOVA: ${name}`,
    summary: `${countText(areas.length, 'area')} between ${hex(lowest)} and ${hex(highest - 1n)}, mapped ${countText(total, 'time')}. Rows are as high as the logarithm of their size; IOVAs between them are left out. Paler: not all of it was mapped, or not all the time.`,
    table: {
      columns: [
        { name: 'IOVA' },
        { name: 'to' },
        { name: 'size', numeric: true },
        { name: 'the device may' },
        { name: 'mapped', numeric: true },
        { name: 'for', numeric: true },
      ],
      rows: rows.map((area) => [
        hex(area.start),
        hex(area.end - 1n),
        sizeText(bytesOf(area)),
        rights(area),
        countText(area.maps, 'time'),
        timeSpanText(mapped(area)),
      ]),
      ...(left > 0 && { rest: `${countText(left, 'smaller area')} left out` }),
    },
    height: LEGEND + height + AXIS,
    draw(canvas) {
      legend(canvas, kinds, 8, 4);
      const plot = plotArea(canvas, { top: LEGEND, right: 14, bottom: AXIS, left: 116 });
      const x = canvas.d3.scaleLinear().domain([begin, end]).range([0, plot.width]).clamp(true);
      const each = Math.max(1, Math.floor(MARKS / Math.max(1, areas.length)));
      const marks = marksOf(plot);
      let labelled = Number.NEGATIVE_INFINITY;
      for (const { area, top, height: rowHeight } of placed) {
        if (top - labelled >= LABEL_ROOM) {
          labelled = top;
          plot.layer
            .append('text')
            .attr('class', 'muted')
            .attr('x', -8)
            .attr('y', top + Math.min(rowHeight, LABEL_ROOM) / 2 + 4)
            .attr('text-anchor', 'end')
            .text(hex(area.start));
        }
        for (const life of union(area.lives, each)) {
          const { from, to } = life;
          const part = share(area, life, end);
          marks
            .append('rect')
            .attr('class', mark(area))
            .attr('opacity', (PALEST + (1 - PALEST) * part).toFixed(2))
            .attr('x', x(from))
            .attr('y', top)
            .attr('width', Math.max(1.5, x(to) - x(from)))
            .attr('height', Math.max(0.6, rowHeight))
            .append('title')
            .text(
              `${hex(area.start)} to ${hex(area.end - 1n)}: ${sizeText(bytesOf(area))}, the device may ${rights(area)}${shareText(part)}`,
            );
        }
      }
      bottomAxis(canvas.d3, plot, x, { unit: timeUnit(end), label: 'time since the start' });
    },
  };
}
