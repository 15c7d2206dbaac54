// SPDX-License-Identifier: Apache-2.0
/** The part of a report that shows where the time goes. */
import { statistics } from '../../performance/statistics.js';
import {
  mappingsTable,
  openingsTable,
  perturbationTexts,
  queuesTable,
  type StatisticsTable,
} from '../../performance/tables.js';
import type { Chart, ReportSection, SectionMaker } from '../chart.js';
import { Activity } from './activity.js';
import { doorbellChart } from './doorbells.js';
import { cumulativeChart, distributionChart, OPERATIONS_SHOWN, type Operation } from './latency.js';
import { rateChart } from './rate.js';
import { type RowGroup, rowsOverTime } from './rows-over-time.js';

const LANES = 12;
const REGISTERS = 24;

function operationsOf({ latencies }: Activity): readonly Operation[] {
  return [...latencies]
    .filter(([, { count }]) => count > 0)
    .map(([name, latency]) => ({ name, latency }))
    .sort((a, b) => b.latency.sum - a.latency.sum)
    .slice(0, OPERATIONS_SHOWN);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function dataTable({ title, columns, rows, more }: StatisticsTable): ReportSection['tables'][number] {
  return {
    title: `${title.charAt(0).toUpperCase()}${title.slice(1)}`,
    columns: columns.map(([name, align]) => ({ name, numeric: align === 'right' })),
    rows,
    ...(more > 0 && { rest: `${more} more: vfiotape stats --json has all` }),
  };
}

export const performanceSection: SectionMaker = (trace) => {
  // Bins of time need to know beforehand how long it is.
  if (trace.stream || trace.eventCount === 0) return [];
  const activity = new Activity(trace);
  const operations = operationsOf(activity);
  const group = (name: string, table: Activity['threads'], most: number): RowGroup => {
    const all = table.list();
    return { name, rows: all.slice(0, most), leftOut: Math.max(0, all.length - most) + table.leftOut };
  };
  const registers = group('register', activity.registers, REGISTERS);
  const charts: Chart[] = [
    ...(operations.length > 0 ? [distributionChart(operations), cumulativeChart(operations)] : []),
    rateChart(activity),
    rowsOverTime(activity, { id: 'lanes', title: 'Who was busy when', unit: 'events' }, [
      group('thread', activity.threads, LANES),
      group('queue', activity.queues, LANES),
      group('vector', activity.vectors, LANES),
    ]),
    ...(registers.rows.length > 0
      ? [
          rowsOverTime(activity, { id: 'registers', title: 'Registers over time', unit: 'accesses' }, [
            registers,
          ]),
        ]
      : []),
    ...(activity.points.length > 0 ? [doorbellChart(activity)] : []),
  ];
  const found = statistics(trace);
  const { head, costs, notes } = perturbationTexts(found.perturbation);
  return [
    {
      id: 'performance',
      title: 'Where the time goes',
      text: [`${sentence(head)} ${costs.join('; ')}.`, ...notes.map(sentence)],
      tables: [queuesTable(found), mappingsTable(found), openingsTable(found)]
        .filter(({ rows }) => rows.length > 0)
        .map(dataTable),
      charts,
    },
  ];
};
