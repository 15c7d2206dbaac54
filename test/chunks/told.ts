// SPDX-License-Identifier: Apache-2.0
/** All that the verbs tell of a trace, each as text: what must not depend on how the trace is cut into chunks. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReportSection } from '../../analyzer/charts/chart.js';
import { timeSpan } from '../../analyzer/charts/frame/time-span.js';
import { performanceSection } from '../../analyzer/charts/performance/section.js';
import { SessionCharts } from '../../analyzer/charts/session.js';
import type { Finding } from '../../analyzer/check/finding.js';
import { diffTraces } from '../../analyzer/diff/diff.js';
import { findingsOf } from '../../analyzer/exports/findings.js';
import { EXPORT_FORMATS, type ExportFormatName } from '../../analyzer/exports/formats.js';
import { statistics } from '../../analyzer/performance/statistics.js';
import { statisticsText } from '../../analyzer/performance/text.js';
import { conclude } from '../../analyzer/reports/build.js';
import { renderHtml } from '../../analyzer/reports/formats/html.js';
import { renderJson } from '../../analyzer/reports/formats/json.js';
import { renderText } from '../../analyzer/reports/formats/text.js';
import { sectionOf } from '../../analyzer/reports/html/section.js';
import type { ComplianceReport } from '../../analyzer/reports/model.js';
import { reportOn } from '../../cli/compliance.js';
import { countEvents } from '../../cli/events.js';
import { describeLosses } from '../../cli/losses.js';
import { identify, recordedDevices } from '../../replayer/devices/recorded/identity.js';
import { readScript } from '../../replayer/devices/recorded/script.js';
import { replay } from '../../replayer/replay/simulated-replay.js';
import { type DumpOptions, dump } from '../../session/describe/dump.js';
import { compileFilter } from '../../session/filter/compile.js';
import { overviewJson } from '../../session/overview/json.js';
import { takeOverview } from '../../session/overview/overview.js';
import { overviewText } from '../../session/overview/text.js';
import { scrub } from '../../session/scrub/scrub.js';
import { trim } from '../../session/trim/trim.js';
import { openTrace, type Trace } from '../../traces/reader.js';

/** What is told of the trace in this file. */
export type Teller = (path: string) => Promise<string>;

async function reading<T>(path: string, read: (trace: Trace) => T | Promise<T>): Promise<T> {
  const trace = openTrace(path);
  try {
    return await read(trace);
  } finally {
    trace.close();
  }
}

function json(value: unknown): string {
  const plain = (_: string, held: unknown): unknown => {
    if (typeof held === 'bigint') return `${held}n`;
    if (held instanceof Map || held instanceof Set) return [...held];
    return held instanceof Uint8Array ? Buffer.from(held).toString('hex') : held;
  };
  return JSON.stringify(value, plain, 1);
}

function dumped(trace: Trace, options: Partial<DumpOptions> & { readonly expression?: string } = {}): string {
  const { expression, from = 0, to = Number.MAX_SAFE_INTEGER, json: asJson = false } = options;
  const filter = expression === undefined ? undefined : compileFilter(expression);
  return [...dump(trace, { filter, from, to, json: asJson })].join('');
}

/** In a directory that is gone afterwards. */
async function making<T>(make: (file: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-told-'));
  try {
    return await make(join(directory, 'made'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const lossText: Parameters<typeof takeOverview>[1] = (loss) => describeLosses([loss]);

const FILTERS = [
  'kind=ioctl & result<0',
  'kind=load',
  'kind=store | kind=update',
  'kind=write & region=config',
  'object=device0 & offset>=0x1000',
  'register=CSTS | register=STATUS | register=Command',
] as const;

async function filtered(path: string): Promise<string> {
  return reading(path, (trace) =>
    FILTERS.map((expression) => `${expression}\n${dumped(trace, { expression })}`).join(''),
  );
}

/** Of the trace: from within, and its end. */
function windowsOf(trace: Trace): readonly (readonly [from: number, end: number])[] {
  const events = countEvents(trace);
  const at = (part: number): number => Math.floor(events * part);
  return [
    [at(0.3), at(0.4)],
    [at(0.9), events],
  ];
}

async function windows(path: string): Promise<string> {
  return reading(path, (trace) =>
    windowsOf(trace)
      .flatMap(([from, to]) => [
        dumped(trace, { from, to }),
        dumped(trace, { from, to, expression: 'kind=load | kind=store' }),
      ])
      .join('\n'),
  );
}

/** Spans of time, as the library takes them. */
async function spans(path: string): Promise<string> {
  return reading(path, (trace) => {
    const { from, to } = timeSpan(trace);
    const numbers = [0, 0.25, 0.5].map((part) => {
      const fromTime = from + (to - from) * part;
      const toTime = fromTime + (to - from) / 4;
      return [...trace.events({ fromTime, toTime, payloads: false })].map(({ number }) => number);
    });
    return json(numbers);
  });
}

/** Found one by one, from the last to the first. */
async function byNumber(path: string): Promise<string> {
  return reading(path, (trace) => {
    const events = countEvents(trace);
    return json(Array.from({ length: events }, (_, n) => trace.event(events - 1 - n)));
  });
}

async function overview(path: string): Promise<string> {
  return reading(path, (trace) => {
    const taken = { ...takeOverview(trace, lossText), chunks: 0 };
    const { size_bytes: _, format: __, ...told } = overviewJson(trace, taken);
    return `${json(told)}\n${overviewText(trace, taken).replace(/^ *size .*$/m, '')}`;
  });
}

interface Judged {
  readonly report: ComplianceReport;
  readonly sections: readonly ReportSection[];
}

/** As `report` has it done: rules and charts in one pass. */
async function judge(path: string): Promise<Judged> {
  let charts: SessionCharts | undefined;
  let sections: readonly ReportSection[] = [];
  const report = await reportOn(
    {
      path,
      profile: undefined,
      waivers: undefined,
      baseline: undefined,
      budget: undefined,
      symbols: undefined,
    },
    {
      alongside(story) {
        charts = new SessionCharts(story);
        return charts.watches;
      },
      afterwards(trace) {
        sections = [...(charts?.sections() ?? []), ...performanceSection(trace)];
      },
    },
  );
  return { report: conclude([report], 'error', 'vfiotape', []), sections };
}

/** And the figures of the charts, which are drawn by `page`: that takes long. */
async function judged(path: string): Promise<string> {
  const { report, sections } = await judge(path);
  return `${renderText(report)}\n${renderJson(report)}\n${json(sections)}`;
}

/** The HTML of `report`. */
export async function page(path: string): Promise<string> {
  const { report, sections } = await judge(path);
  return renderHtml(report, [sections.map(sectionOf)]);
}

async function stats(path: string): Promise<string> {
  return reading(path, (trace) => {
    const measured = statistics(trace);
    return `${json(measured)}\n${statisticsText(measured)}`;
  });
}

/** The rules take longer than an export. */
const found = new Map<string, readonly Finding[]>();

function findings(path: string): readonly Finding[] {
  const known = found.get(path) ?? findingsOf(path);
  found.set(path, known);
  return known;
}

function exported(name: ExportFormatName): Teller {
  return (source) =>
    making(async (path) => {
      await reading(source, (trace) =>
        EXPORT_FORMATS[name].write({ trace, path, findings: async () => findings(source) }),
      );
      const bytes = readFileSync(path);
      const isText = name !== 'parquet' && name !== 'perfetto';
      return isText ? bytes.toString() : createHash('sha256').update(bytes).digest('hex');
    });
}

async function trimmed(path: string): Promise<string> {
  return reading(path, async (trace) => {
    const texts: string[] = [];
    for (const [from, end] of windowsOf(trace))
      texts.push(
        await making(async (file) => {
          const { setUp, window } = await trim(trace, file, from, end);
          return `${setUp} and ${window}\n${await reading(file, (made) => dumped(made, { json: true }))}`;
        }),
      );
    return texts.join('\n');
  });
}

async function scrubbed(path: string): Promise<string> {
  return reading(path, (trace) =>
    making(async (file) => {
      const { events, withheld, names } = await scrub(trace, file);
      return json([events, withheld, names, await reading(file, (made) => dumped(made, { json: true }))]);
    }),
  );
}

/** Reissued on the device that the same recording plays, which is the same as playing it to its driver. */
async function replayed(path: string): Promise<string> {
  return reading(path, async (trace) => {
    if (recordedDevices(trace).size !== 1) return 'several devices';
    const { durationNs: _, ...report } = await replay(trace, path);
    return json(report);
  });
}

/** What `play` is made from. */
async function script(path: string): Promise<string> {
  return reading(path, (trace) =>
    [...recordedDevices(trace)]
      .map(([bdf, objects]) =>
        json([bdf, identify(trace, objects), [...readScript(trace, { objects, isTable: () => false })]]),
      )
      .join('\n'),
  );
}

/** By the trace alone; a file's name, size and number of chunks are left out. */
export const TELLERS: Readonly<Record<string, Teller>> = {
  dump: (path) => reading(path, (trace) => dumped(trace)),
  'dump --json': (path) => reading(path, (trace) => dumped(trace, { json: true })),
  'dump --filter': filtered,
  'dump --from --to': windows,
  'a span of time': spans,
  'event by event': byNumber,
  info: overview,
  check: judged,
  stats,
  'export --to perfetto': exported('perfetto'),
  'export --to chrome': exported('chrome'),
  'export --to parquet': exported('parquet'),
  'export --to csv': exported('csv'),
  'export --to jsonl': exported('jsonl'),
  trim: trimmed,
  scrub: scrubbed,
  replay: replayed,
  play: script,
};

/** What `diff` says of two files. */
export async function difference(first: string, second: string): Promise<string> {
  return reading(first, (a) => reading(second, (b) => json(diffTraces(a, b))));
}
