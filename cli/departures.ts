// SPDX-License-Identifier: Apache-2.0
/** What `play`, and `--sim` with a trace, say of a driver that left the script. */
import { countText, escapeText } from '../abi/text.js';
import { readBuildId } from '../recorder/collector/mappings.js';
import type {
  Departure,
  DepartureKind,
  DriverSite,
  PlayReport,
} from '../replayer/devices/recorded/departure.js';
import { describeEvents, type EventLine } from '../session/describe/lines.js';
import { SiteNames } from '../session/describe/site.js';
import { CallSites } from '../session/symbols/call-sites.js';
import { EventKind } from '../traces/model.js';
import { withTrace } from './input.js';
import { withCallSites } from './symbols.js';

const SHOWN = 50;

const WHAT: Readonly<Record<DepartureKind, string>> = {
  order: 'something else was recorded here',
  value: 'another value',
  unknown: 'the recording does not have the value of this register',
  memory: 'the device finds other memory than it found',
  unmapped: 'the device does not find the memory that it found',
  extra: 'after the last that was recorded',
  missing: 'the driver ended before it',
  waits: 'the driver waits for what was not recorded here',
};

/** One block for each departure, with the recorded event in full. */
async function departureLines(
  { trace: path, bdf, departures, departed }: PlayReport,
  symbols?: readonly string[],
): Promise<readonly string[]> {
  const shown = departures.slice(0, SHOWN);
  const numbers = shown.flatMap(({ event }) => event ?? []);
  const lines = await withTrace(path, (trace) =>
    withCallSites(trace, symbols, async (callSites) => describeEvents(trace, numbers, callSites)),
  );
  return [
    ...shown.flatMap((departure) => block(departure, lines, symbols)),
    ...(departed > shown.length ? [`${escapeText(bdf)}: ${departed - shown.length} more departures`] : []),
  ];
}

function block(
  { kind, bdf, event, got, site: by }: Departure,
  lines: ReadonlyMap<number, EventLine>,
  symbols: readonly string[] | undefined,
): string[] {
  const line = event === undefined ? undefined : lines.get(event);
  const site = line?.site === undefined ? '' : `  @${line.site}`;
  return [
    `${escapeText(bdf)}: the driver left the script${event === undefined ? '' : ` at event ${event}`}: ${WHAT[kind]}`,
    `  expected  ${line === undefined ? 'nothing more' : `${line.text.trim()}${site}`}`,
    `  got       ${escapeText(got)}${by === undefined ? '' : `  @${siteText(by, symbols)}`}`,
  ];
}

/** Today's driver is not that of the recording: its files are named by themselves. */
function siteText({ path, offset, isCall }: DriverSite, symbols: readonly string[] | undefined): string {
  const one = { id: 1, process: 1 };
  const module = { ...one, start: 0n, end: 0n, fileOffset: 0n, path, buildId: readBuildId(path) };
  const definitions = {
    modules: new Map([[1, module]]),
    sites: new Map([[1, { ...one, address: 0n, module: 1, moduleOffset: offset }]]),
  };
  const callSites = new CallSites(definitions, symbols);
  try {
    return (
      new SiteNames(definitions, callSites).name(1, isCall ? EventKind.IOCTL : EventKind.LOAD) ?? 'not known'
    );
  } finally {
    callSites.close();
  }
}

/** Of devices that played beside others, or for a driver that goes on. */
export async function reportPlays(
  plays: readonly PlayReport[],
  say: (line: string) => void,
  symbols?: readonly string[],
): Promise<void> {
  for (const play of plays) {
    say(playedLine(play));
    for (const line of await departureLines(play, symbols)) say(line);
  }
}

function playedLine({ trace, bdf, writes, reads, dmaBytes, interrupts, departed }: PlayReport): string {
  return `played ${escapeText(trace)} as ${escapeText(bdf)}: ${writes} writes and ${reads} reads as recorded, ${dmaBytes} bytes of DMA, ${interrupts} interrupts, ${departed === 0 ? 'no departure' : countText(departed, 'departure')}`;
}
