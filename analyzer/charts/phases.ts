// SPDX-License-Identifier: Apache-2.0
/** What the driver was busy with, and when: a row for each phase of each device. */
import { PHASES, type Phase, type PhaseSpan } from '../../session/phases/phase.js';
import { phasesOf } from '../../session/phases/phases.js';
import type { Chart, ChartMaker } from './chart.js';
import { bottomAxis } from './frame/axes.js';
import { type Canvas, isNarrow, plotArea, textWidth } from './frame/canvas.js';
import { marksOf } from './frame/marks.js';
import { countText, timeSpanText, timeUnit } from './frame/units.js';

const MARKS: Readonly<Record<Phase, string>> = {
  open: 'c8',
  reset: 'c4',
  config: 'c5',
  bar: 'c1',
  queues: 'c6',
  steady: 'c3',
  teardown: 'c2',
};

const DEVICES = 6;
const DEVICES_TOLD = 2;
const ROW = 20;
const TITLE = 24;
const AXIS = 46;
/** A moment is seen, too. */
const LEAST_WIDTH = 2;
/** Setting up is drawn once more when it has less than this of the picture. */
const ENLARGE = 0.35;

export const phases: ChartMaker = ({ trace, session }) => ({
  charts() {
    const { spans } = phasesOf(trace);
    return spans.length === 0 ? [] : [draw(spans, (id) => session.names.label(id))];
  },
});

interface Row {
  readonly device: string;
  readonly phase: Phase;
  readonly spans: readonly PhaseSpan[];
  readonly ns: number;
}

function draw(spans: readonly PhaseSpan[], nameOf: (device: number) => string): Chart {
  const devices = [...new Set(spans.map(({ object }) => object))];
  const rows = devices.flatMap((id) =>
    PHASES.map((phase): Row => {
      const own = spans.filter(({ object, phase: other }) => object === id && other === phase);
      return {
        device: nameOf(id),
        phase,
        spans: own,
        ns: own.reduce((sum, { from, to }) => sum + to.time - from.time, 0),
      };
    }).filter(({ spans: own }) => own.length > 0),
  );
  const blocks = devices.slice(0, DEVICES).map((id) => rows.filter(({ device }) => device === nameOf(id)));
  const from = Math.min(...spans.map(({ from: begin }) => begin.time));
  const to = Math.max(...spans.map(({ to: end }) => end.time), from + 1);
  // From the first open to the first work of the last device to get to it.
  const setUp = Math.max(
    ...devices.map((id) => spans.find((span) => span.object === id && isWork(span))?.from.time ?? to),
  );
  const enlarged = setUp > from && (setUp - from) / (to - from) < ENLARGE;
  const blockHeight = blocks.reduce((sum, block) => sum + TITLE + block.length * ROW, 0) + AXIS;
  const steady = rows.filter(({ phase }) => phase === 'steady');
  return {
    id: 'phases',
    title: 'Phases of the session',
    summary: blocks
      .slice(0, DEVICES_TOLD)
      .map((block) => {
        const times = block.map(({ phase, ns }) => `${phase} ${timeSpanText(ns)}`).join(', ');
        return devices.length > 1 ? `${block[0]?.device}: ${times}` : times;
      })
      .join('; ')
      .concat(devices.length > DEVICES_TOLD ? `; ${countText(devices.length, 'device')} in all` : '')
      .concat(steady.length === 0 ? '; no work was seen.' : '.'),
    table: {
      columns: [
        { name: 'device' },
        { name: 'phase' },
        { name: 'begins at', numeric: true },
        { name: 'takes', numeric: true },
        { name: 'times', numeric: true },
      ],
      rows: rows.map(({ device, phase, spans: own, ns }) => [
        device,
        phase,
        timeSpanText(own[0]?.from.time ?? 0),
        timeSpanText(ns),
        countText(own.length),
      ]),
    },
    height: blockHeight * (enlarged ? 2 : 1) + (enlarged ? TITLE : 0),
    draw(canvas) {
      gantt(canvas, blocks, from, to, 0);
      if (!enlarged) return;
      canvas.root
        .append('text')
        .attr('class', 'strong')
        .attr('x', 8)
        .attr('y', blockHeight + 18)
        .text('Setting up, enlarged');
      gantt(canvas, blocks, from, setUp, blockHeight + TITLE);
    },
  };
}

function isWork({ phase }: PhaseSpan): boolean {
  return phase === 'steady';
}

function gantt(
  canvas: Canvas,
  blocks: readonly (readonly Row[])[],
  from: number,
  to: number,
  top: number,
): void {
  const narrow = isNarrow(canvas);
  const height = blocks.reduce((sum, block) => sum + TITLE + block.length * ROW, 0) + AXIS;
  const textOf = ({ ns, spans }: Row): string =>
    narrow || spans.length === 1 ? timeSpanText(ns) : `${timeSpanText(ns)}, ${countText(spans.length)} times`;
  const right = 10 + Math.max(...blocks.flat().map((row) => textWidth(textOf(row))));
  const plot = plotArea(canvas, { top: 0, right, bottom: AXIS, left: 74 }, height, top);
  const x = canvas.d3.scaleLinear().domain([from, to]).range([0, plot.width]).clamp(true);
  const lines = plot.layer.append('g').attr('class', 'grid');
  const marks = marksOf(plot);
  let y = 0;
  for (const block of blocks) {
    plot.layer
      .append('text')
      .attr('class', 'strong')
      .attr('x', -66)
      .attr('y', y + 16)
      .text(block[0]?.device ?? '');
    y += TITLE;
    for (const row of block) {
      const { phase, spans } = row;
      lines
        .append('line')
        .attr('x2', plot.width)
        .attr('y1', y + ROW / 2)
        .attr('y2', y + ROW / 2);
      plot.layer
        .append('text')
        .attr('x', -8)
        .attr('y', y + 14)
        .attr('text-anchor', 'end')
        .text(phase);
      for (const { from: begin, to: end } of spans) {
        if (begin.time > to) continue;
        marks
          .append('rect')
          .attr('class', MARKS[phase])
          .attr('x', Math.min(x(begin.time), plot.width - LEAST_WIDTH))
          .attr('y', y + 4)
          .attr('width', Math.max(LEAST_WIDTH, x(end.time) - x(begin.time)))
          .attr('height', ROW - 8)
          .append('title')
          .text(`${phase}: ${timeSpanText(end.time - begin.time)} from ${timeSpanText(begin.time)}`);
      }
      plot.layer
        .append('text')
        .attr('class', 'muted')
        .attr('x', plot.width + 8)
        .attr('y', y + 14)
        .text(textOf(row));
      y += ROW;
    }
  }
  bottomAxis(canvas.d3, plot, x, { unit: timeUnit(to), label: 'time since the start' });
}
