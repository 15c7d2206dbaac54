// SPDX-License-Identifier: Apache-2.0
/** How much memory was mapped for DMA, over time, in each address space. */
import { lengthWithin } from '../../session/intervals.js';
import type { DmaSpace } from '../../session/story/address-spaces.js';
import type { Chart, ChartMaker } from './chart.js';
import { bottomAxis, leftAxis } from './frame/axes.js';
import { type Layer, plotArea } from './frame/canvas.js';
import { legend } from './frame/legend.js';
import { marksOf } from './frame/marks.js';
import { type Step, TimeBins } from './frame/time-bins.js';
import { timeSpan } from './frame/time-span.js';
import { countText, sizeText, sizeUnit, timeUnit } from './frame/units.js';

interface Space {
  readonly name: string;
  readonly bins: TimeBins;
  bytes: number;
  peak: number;
  mappings: number;
  mostMappings: number;
  maps: number;
  unmaps: number;
}

const SPACES = 6;
const HEIGHT = 280;
const LEGEND = 22;
/** Parts of the time that are read out one by one. */
const PARTS = 240;
/** How dark: what was mapped all the time, and what was for a part of it. */
const ALWAYS = 0.4;
const AT_TIMES = 0.18;

export const dmaMemory: ChartMaker = (story) => {
  const spaces = new Map<DmaSpace, Space>();
  let last = 0;
  const at = (space: DmaSpace): Space => {
    let found = spaces.get(space);
    if (found === undefined) {
      const object = story.session.names.name(space.object);
      const name = space.ioas === 0 ? object : `${object} IOAS ${space.ioas}`;
      found = {
        name,
        bins: new TimeBins(),
        bytes: 0,
        peak: 0,
        mappings: 0,
        mostMappings: 0,
        maps: 0,
        unmaps: 0,
      };
      spaces.set(space, found);
    }
    return found;
  };
  const changed = (
    space: DmaSpace,
    { time, duration }: { readonly time: number; readonly duration: number },
  ): Space => {
    const one = at(space);
    const mapped = story.session.dma.space(space.object, space.ioas);
    last = Math.max(last, time + duration);
    one.mappings = mapped.size;
    one.mostMappings = Math.max(one.mostMappings, mapped.size);
    one.peak = Math.max(one.peak, one.bytes);
    one.bins.set(time + duration, one.bytes);
    return one;
  };
  return {
    on: {
      'dma-map': ({ space, mapping, event, ok }) => {
        if (!ok) return;
        at(space).bytes += Number(mapping.length);
        changed(space, event).maps++;
      },
      'dma-unmap': ({ space, mappings, start, length, event }) => {
        for (const mapping of mappings) at(space).bytes -= Number(lengthWithin(mapping, start, length));
        changed(space, event).unmaps++;
      },
    },
    charts() {
      if (spaces.size === 0) return [];
      return [draw([...spaces.values()], timeSpan(story.trace).from, Math.max(last, story.latest.time))];
    },
  };
};

function draw(all: readonly Space[], begin: number, end: number): Chart {
  const spaces = [...all].sort((a, b) => b.peak - a.peak).slice(0, SPACES);
  const most = Math.max(1, ...spaces.map(({ peak }) => peak));
  const left = all.length - spaces.length;
  return {
    id: 'dma-memory',
    title: 'Memory mapped for DMA, over time',
    summary: spaces
      .map(
        ({ name, peak, mostMappings, bytes }) =>
          `${name}: at most ${sizeText(peak)} in ${countText(mostMappings, 'mapping')}, ${bytes === 0 ? 'nothing' : sizeText(bytes)} left at the end`,
      )
      .join('; ')
      .concat('. Paler: mapped for a part of the time only.'),
    table: {
      columns: [
        { name: 'address space' },
        { name: 'at most', numeric: true },
        { name: 'mappings at most', numeric: true },
        { name: 'mapped', numeric: true },
        { name: 'unmapped', numeric: true },
        { name: 'left at the end', numeric: true },
      ],
      rows: spaces.map((one) => [
        one.name,
        sizeText(one.peak),
        countText(one.mostMappings),
        countText(one.maps, 'time'),
        countText(one.unmaps, 'time'),
        sizeText(one.bytes),
      ]),
      ...(left > 0 && { rest: `${countText(left, 'smaller address space')} left out` }),
    },
    height: HEIGHT + (spaces.length > 1 ? LEGEND : 0),
    draw(canvas) {
      const top = spaces.length > 1 ? LEGEND : 0;
      if (spaces.length > 1)
        legend(
          canvas,
          spaces.map(({ name }, i) => ({ mark: `c${i + 1}`, text: name })),
          60,
          2,
        );
      const plot = plotArea(canvas, { top: 26, right: 14, bottom: 44, left: 60 }, HEIGHT, top);
      const x = canvas.d3.scaleLinear().domain([begin, end]).range([0, plot.width]);
      const y = canvas.d3.scaleLinear().domain([0, most]).nice().range([plot.height, 0]);
      leftAxis(canvas.d3, plot, y, { unit: sizeUnit(most), label: 'mapped' });
      const marks = marksOf(plot);
      spaces.forEach(({ bins }, i) => {
        const steps = within(bins.steps(), begin, end);
        const curve = canvas.d3.curveStepAfter;
        const area = (from: (step: Step) => number, to: (step: Step) => number, opacity: number) =>
          marks
            .append('path')
            .attr('class', `c${i + 1}`)
            .attr('opacity', opacity)
            .attr(
              'd',
              canvas.d3
                .area<Step>()
                .x(({ time }) => x(time))
                .y0((step) => y(from(step)))
                .y1((step) => y(to(step)))
                .curve(curve)(steps),
            );
        area(
          () => 0,
          ({ least }) => least,
          ALWAYS,
        );
        area(
          ({ least }) => least,
          ({ most: greatest }) => greatest,
          AT_TIMES,
        );
        const line = canvas.d3
          .line<Step>()
          .x(({ time }) => x(time))
          .y(({ most: greatest }) => y(greatest))
          .curve(curve);
        marks
          .append('path')
          .attr('class', `l${i + 1}`)
          .attr('stroke-width', 1.5)
          .attr('d', line(steps));
      });
      readings(marks, plot, spaces, begin, end);
      bottomAxis(canvas.d3, plot, x, { unit: timeUnit(end), label: 'time since the start' });
    },
  };
}

/** From the begin to the end of the picture: nothing was mapped before the first step. */
function within(steps: readonly Step[], begin: number, end: number): readonly Step[] {
  const before = steps.findLast(({ time }) => time <= begin);
  const inside = steps.filter(({ time }) => time > begin && time < end);
  const first = { least: 0, most: 0, ...before, time: begin };
  return [first, ...inside, { ...(inside.at(-1) ?? first), time: end }];
}

/** Not seen, and over all: what each address space had in a part of the time. */
function readings(
  marks: Layer,
  { width, height }: { readonly width: number; readonly height: number },
  spaces: readonly Space[],
  begin: number,
  end: number,
): void {
  const parts = spaces.map(({ bins }) => byPart(within(bins.steps(), begin, end), begin, end));
  const text = (part: number): string =>
    spaces
      .map(({ name }, i) => {
        const { least = 0, most = 0 } = parts[i]?.[part] ?? {};
        return `${name}: ${least === most ? '' : `${sizeText(least)} to `}${sizeText(most)}`;
      })
      .join('; ');
  for (let from = 0; from < PARTS; ) {
    const own = text(from);
    let to = from + 1;
    while (to < PARTS && text(to) === own) to++;
    marks
      .append('rect')
      .attr('opacity', 0)
      .attr('x', (from / PARTS) * width)
      .attr('width', ((to - from) / PARTS) * width)
      .attr('height', height)
      .append('title')
      .text(own);
    from = to;
  }
}

function byPart(
  steps: readonly Step[],
  begin: number,
  end: number,
): readonly { readonly least: number; readonly most: number }[] {
  const parts = Array.from({ length: PARTS }, () => ({ least: Number.POSITIVE_INFINITY, most: 0 }));
  const partOf = (time: number): number =>
    Math.min(PARTS - 1, Math.max(0, Math.floor(((time - begin) / Math.max(1, end - begin)) * PARTS)));
  steps.forEach(({ time, least, most }, i) => {
    for (let n = partOf(time); n <= partOf(steps[i + 1]?.time ?? end); n++) {
      const part = parts[n] as (typeof parts)[number];
      part.least = Math.min(part.least, least);
      part.most = Math.max(part.most, most);
    }
  });
  return parts;
}
