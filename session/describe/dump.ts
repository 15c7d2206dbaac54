// SPDX-License-Identifier: Apache-2.0
import { EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { Filter } from '../filter/compile.js';
import { Session, STATE_KINDS } from '../state.js';
import type { CallSites } from '../symbols/call-sites.js';
import { eventJson } from './json.js';
import { LineWriter } from './line.js';
import { SiteNames } from './site.js';
import { Subject } from './subject.js';

export interface DumpOptions {
  readonly filter: Filter | undefined;
  /** Event numbers: from, up to but not including to. */
  readonly from: number;
  readonly to: number;
  readonly json: boolean;
  /** Names functions and lines; without it sites are offsets. */
  readonly callSites?: CallSites;
}

/** Text is handed out in pieces of about so many characters: one write each. */
const PIECE = 1 << 16;

/** The decoded events, one line each. What came before `from` is read too, since names and regions come from there. */
export function* dump(
  trace: Trace,
  { filter, from, to, json, callSites }: DumpOptions,
): Generator<string, void, undefined> {
  const session = new Session(trace.definitions);
  const sites = new SiteNames(trace.definitions, callSites);
  const subject = new Subject(trace, session, sites);
  // Of a stream it is not known how many threads will come.
  const threads = new Set(
    [...trace.definitions.threads.values()].map(({ process, tid }) => `${process}/${tid}`),
  );
  const lines = new LineWriter(trace.definitions, session.names, sites, trace.stream || threads.size > 1);
  const changes = new Uint8Array(256);
  for (const kind of STATE_KINDS) changes[kind] = 1;
  changes[EventKind.LOAD] = 1;
  let text = '';

  function* rows(
    first: number,
    end: number,
    kinds: readonly number[] | undefined,
  ): Generator<string, void, undefined> {
    const needed = kinds && (() => (session.awaitsLayout ? [...kinds, EventKind.LOAD] : kinds));
    for (const batch of trace.batches({ from: first, to: end, ...(needed && { kinds: needed }) })) {
      for (let row = batch.begin; row < batch.end; row++) {
        subject.at(batch, row);
        const quiet = batch.firstEvent + row < from;
        if (changes[batch.kind[row] as number] === 1) subject.apply();
        if (quiet || (filter !== undefined && !filter.matches(subject))) continue;
        const { event, description } = subject;
        const line = json
          ? JSON.stringify(eventJson(trace.definitions, session.names, event, description, sites))
          : lines.line(event, description);
        text += `${line}\n`;
        if (text.length >= PIECE) {
          yield text;
          text = '';
        }
      }
    }
  }

  const wanted = filter?.kinds === undefined ? undefined : [...new Set([...filter.kinds, ...STATE_KINDS])];
  if (trace.stream || from === 0) yield* rows(0, to, wanted);
  else {
    // Chunks with nothing but register accesses are mostly passed over on the way to the first event.
    yield* rows(0, from, STATE_KINDS);
    yield* rows(from, to, wanted);
  }
  if (text !== '') yield text;
}
