// SPDX-License-Identifier: Apache-2.0
/** Interrupts, phases, openings, resets, mappings and polling loops by SQL: rows of text from both sides, to be equal. */
import { check } from '../../analyzer/check/check.js';
import type { Latency, Statistics } from '../../analyzer/performance/model.js';
import { runQuery } from '../../analyzer/queries/query.js';
import { timeText } from '../../analyzer/rules/performance/rate.js';
import { RULES } from '../../analyzer/rules/rules.js';
import { ObjectNames } from '../../session/object-names.js';
import { phasesOf } from '../../session/phases/phases.js';
import { openTrace, type Trace } from '../../traces/reader.js';

export interface BothRows {
  readonly ours: readonly string[];
  readonly sql: readonly string[];
}

type Values = readonly (string | number | boolean | null)[];

async function both(directory: string, sql: string, ours: readonly Values[]): Promise<BothRows> {
  const { rows } = await runQuery(directory, sql);
  const texts = (all: readonly (readonly unknown[])[]) => all.map((row) => row.join(' ')).sort();
  return { ours: texts(ours), sql: texts(rows) };
}

const figures = (latency: Latency | null): Values =>
  latency === null ? [0, 0, 0, 0] : [latency.timed, latency.total_ns, latency.min_ns, latency.max_ns];

const FIGURES = (name: string): string =>
  `count(${name}), coalesce(sum(${name}), 0), coalesce(min(${name}), 0), coalesce(max(${name}), 0)`;

/** Wake-ups and reads of each vector; a wake-up is unread when the next thing that happens to its vector is no read. */
export function vectorRows(directory: string, { interrupts }: Statistics): Promise<BothRows> {
  return both(
    directory,
    `WITH marks AS (
       SELECT *, lead(what) OVER (PARTITION BY interrupt ORDER BY event) AS next,
         CASE WHEN what = 'read' THEN done_ns - lag(done_ns) OVER (PARTITION BY interrupt, what ORDER BY event) END AS gap
       FROM (SELECT interrupts.* FROM interrupts JOIN events USING (event) WHERE errno IS NULL AND NOT ends_with(interrupts.interrupt, ' unmask')))
     SELECT interrupt, count(*) FILTER (what = 'wake'), count(signals), coalesce(sum(signals), 0), coalesce(max(signals), 0),
       count(*) FILTER (what = 'wake' AND coalesce(next, '') <> 'read'),
       ${FIGURES(`CASE WHEN what = 'read' AND signals IS NOT NULL THEN gap END`)}
     FROM marks GROUP BY interrupt`,
    interrupts
      .filter(({ wakes, reads }) => wakes + reads > 0)
      .map((one) => [
        `${one.object} ${one.vector}`,
        one.wakes,
        one.reads,
        one.signals,
        one.largest,
        one.unread_wakes,
        ...figures(one.gap),
      ]),
  );
}

export function resetRows(directory: string, { resets }: Statistics): Promise<BothRows> {
  return both(
    directory,
    `SELECT object, operation, time_ns, duration_ns, errno IS NULL FROM events
     WHERE operation IN ('VFIO_DEVICE_RESET', 'VFIO_DEVICE_PCI_HOT_RESET', 'VFIO_RESET_FUNCTION')`,
    resets.map(({ object, operation, at_ns, duration_ns, ok }) => [
      object,
      operation,
      at_ns,
      duration_ns,
      ok,
    ]),
  );
}

/** What mapping and unmapping took, and for how many bytes. */
export function mappingRows(directory: string, { mappings }: Statistics): Promise<BothRows> {
  return both(
    directory,
    `SELECT object, operation, count(*), count(errno), coalesce(sum(size) FILTER (errno IS NULL), 0),
       coalesce(sum(duration_ns) FILTER (errno IS NULL), 0)
     FROM events WHERE regexp_matches(operation, '^(VFIO_IOMMU_(UN)?MAP_DMA|IOMMU_IOAS_(UN)?MAP|VFIO_DMA_(MAP_IOVA|MAP_ANYWHERE|UNMAP))$')
     GROUP BY ALL`,
    mappings.map(({ object, operation, calls, failed, bytes, total_ns }) => [
      object,
      operation,
      calls,
      failed,
      bytes,
      total_ns,
    ]),
  );
}

/** Intel's ring tails are set once before they are doorbells (Intel 82574 §4.6): those devices are left out. */
const DOORBELLS = `kind IN ('store', 'update', 'write') AND regexp_matches(register, '^(SQ[1-9]\\d*TDBL|CQ[1-9]\\d*HDBL|notify(\\[\\d+\\])?|queue_notify)$')`;
const NOT_INTEL = `object NOT IN (SELECT DISTINCT object FROM events WHERE object IS NOT NULL AND starts_with(register, 'RDT'))`;

/** From a device's first event to its first doorbell. */
export function openingRows(directory: string, { openings, registers }: Statistics): Promise<BothRows> {
  const intel = new Set(
    registers.filter(({ register }) => register?.startsWith('RDT')).map(({ object }) => object),
  );
  return both(
    directory,
    `SELECT object, any_value(opened), min_by(time_ns, event) FILTER (${DOORBELLS}) - any_value(opened),
       coalesce(min_by(register, event) FILTER (${DOORBELLS}), '')
     FROM events JOIN (SELECT object, min_by(time_ns, event) AS opened FROM events WHERE starts_with(object, 'device') AND kind <> 'close' GROUP BY 1)
       USING (object) WHERE ${NOT_INTEL} GROUP BY object`,
    openings
      .filter(({ object }) => !intel.has(object))
      .map(({ object, opened_ns, to_ready_ns, ready_by }) => [object, opened_ns, to_ready_ns, ready_by]),
  );
}

/**
 * Where the phases of a device begin that the tables tell: its first access to configuration space, to a BAR, and its first doorbell.
 * The others depend on arguments that are in no column.
 */
export function phaseStartRows(
  directory: string,
  { phases, registers, openings }: Statistics,
): Promise<BothRows> {
  const intel = new Set(
    registers.filter(({ register }) => register?.startsWith('RDT')).map(({ object }) => object),
  );
  const starts = new Map<string, Values>();
  for (const { object, phase, from_ns } of phases) {
    const isReady = openings.some((one) => one.object === object && one.to_ready_ns !== null);
    const isTold = phase === 'config' || phase === 'bar' || (phase === 'steady' && isReady);
    if (isTold && !intel.has(object) && !starts.has(`${object} ${phase}`))
      starts.set(`${object} ${phase}`, [object, phase, from_ns]);
  }
  const told = [...starts.keys()].map((key) => `'${key}'`).join(', ');
  return both(
    directory,
    `WITH named AS (
       SELECT object, event, time_ns, CASE WHEN region = 'config' THEN 'config' WHEN ${DOORBELLS} THEN 'steady'
         WHEN region IS NOT NULL OR kind = 'mmap' THEN 'bar' END AS phase
       FROM events WHERE starts_with(object, 'device') AND ${NOT_INTEL})
     SELECT object, phase, min_by(time_ns, event) FROM named
     GROUP BY ALL HAVING object || ' ' || phase IN (${told || "''"})`,
    [...starts.values()],
  );
}

/** Each event put into the phase that its device is in; what has none, into the one that began last. */
export function phaseRows(directory: string, trace: Trace, { by_phase }: Statistics): Promise<BothRows> {
  const { spans } = phasesOf(trace);
  const objects = new Map(
    statisticsNames(
      trace,
      spans.map(({ object }) => object),
    ),
  );
  const begins = spans.map(
    ({ object, phase, from }) => `('${objects.get(object)}', ${from.event}, '${phase}')`,
  );
  return both(
    directory,
    `WITH begins(object, "from", phase) AS (VALUES ('-', -1, 'open')${begins.map((one) => `, ${one}`).join('')}),
     owned AS (SELECT event, operation, errno, duration_ns,
       coalesce(CASE WHEN interrupt IS NULL THEN object ELSE split_part(interrupt, ' ', 1) END, '') AS owner FROM events),
     placed AS (
       SELECT e.*, coalesce(own.phase, other.phase) AS phase FROM owned e
       ASOF LEFT JOIN begins own ON own.object = e.owner AND own."from" <= e.event
       ASOF LEFT JOIN (SELECT "from", any_value(phase) AS phase FROM begins GROUP BY 1) other ON other."from" <= e.event)
     SELECT phase, operation, count(*), count(errno), ${FIGURES('CASE WHEN duration_ns > 0 THEN duration_ns END')}
     FROM placed GROUP BY ALL`,
    by_phase.map(({ phase = '', operation, count, failed, latency }) => [
      phase,
      operation,
      count,
      failed,
      ...figures(latency),
    ]),
  );
}

function statisticsNames(trace: Trace, objects: readonly number[]): readonly (readonly [number, string])[] {
  const names = new ObjectNames(trace.definitions);
  return objects.map((object) => [object, names.name(object)]);
}

/** Registers that are loaded again and again: what PERF-001 counts, and the time that it says was burnt. */
export async function pollingRows(directory: string, source: string): Promise<BothRows> {
  const trace = openTrace(source);
  const { verdicts } = check(trace, { rules: RULES.filter(({ id }) => id === 'PERF-001') });
  trace.close();
  const found = verdicts.flatMap(({ findings }) => findings.map(({ message }) => message));
  const ours = found.flatMap((message) => {
    const match = /^(.*) was loaded (\d+) times, .* and (\d+) times it held .*: (.*) of polling$/.exec(
      message,
    );
    return match === null ? [] : [match.slice(1).join(' ')];
  });
  const { rows } = await runQuery(
    directory,
    `WITH loads AS (
       SELECT object, region, "offset", register, value, time_ns, lag(value) OVER w AS before, time_ns - lag(time_ns) OVER w AS gap
       FROM events WHERE kind = 'load' WINDOW w AS (PARTITION BY object, region, "offset", width ORDER BY event))
     SELECT coalesce(register, region || '+0x' || printf('%x', "offset")), count(*), count(*) FILTER (value = before),
       coalesce(sum(gap) FILTER (value = before AND gap < 1000000), 0) FROM loads GROUP BY object, region, "offset", register`,
  );
  const sql = rows.map(
    ([place, loads, same, burnt]) => `${place} ${loads} ${same} ${timeText(Number(burnt))}`,
  );
  return { ours: ours.sort(), sql: sql.filter((row) => ours.includes(row)).sort() };
}
