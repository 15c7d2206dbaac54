// SPDX-License-Identifier: Apache-2.0
import { EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { Session, STATE_KINDS } from '../state.js';
import type { CallSites } from '../symbols/call-sites.js';
import { LineWriter } from './line.js';
import { SiteNames } from './site.js';
import { Subject } from './subject.js';

export interface SourcePlace {
  /** As the debug information has it. */
  readonly file: string;
  readonly line: number;
}

/** One event as a person reads it. */
export interface EventLine {
  readonly number: number;
  /** When it was entered, ns since the start of the recording. */
  readonly time: number;
  /** `device0 0000:00:04.0  write config+0x4 Command = 0x0406` */
  readonly text: string;
  /** `driver!enable_dma+0x1c (pci.c:123)`, as far as it is known. */
  readonly site: string | undefined;
  readonly source: SourcePlace | undefined;
}

/** The lines of some events, by number; those that the trace does not have are left out. */
export function describeEvents(
  trace: Trace,
  numbers: Iterable<number>,
  callSites?: CallSites,
): ReadonlyMap<number, EventLine> {
  const wanted = new Set(numbers);
  const found = new Map<number, EventLine>();
  if (wanted.size === 0) return found;
  let last = 0;
  for (const number of wanted) if (number > last) last = number;
  const session = new Session(trace.definitions);
  const sites = new SiteNames(trace.definitions, callSites);
  const subject = new Subject(trace, session, sites);
  const lines = new LineWriter(trace.definitions, session.names, sites, false);
  const changes = new Uint8Array(256);
  for (const kind of STATE_KINDS) changes[kind] = 1;
  changes[EventKind.LOAD] = 1;
  for (const batch of trace.batches({ from: 0, to: last + 1 })) {
    for (let row = batch.begin; row < batch.end; row++) {
      const number = batch.firstEvent + row;
      const asked = wanted.has(number);
      const changing = changes[batch.kind[row] as number] === 1;
      if (!asked && !changing) continue;
      subject.at(batch, row);
      if (changing) subject.apply();
      if (!asked) continue;
      const { event, description } = subject;
      const innermost = sites.callSite(event.site, event.kind)?.source[0];
      found.set(number, {
        number,
        time: event.time,
        text: lines.content(event, description),
        site: sites.name(event.site, event.kind),
        source: innermost === undefined ? undefined : { file: innermost.file, line: innermost.line },
      });
    }
  }
  return found;
}
