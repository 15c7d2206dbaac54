// SPDX-License-Identifier: Apache-2.0
/** Whether a scrubbed trace really lacks what was left out of it: looked for in all that the new file holds. */
import { readU64 } from '../../abi/layout.js';
import { EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { Session, STATE_KINDS } from '../state.js';
import { visitAddresses } from './addresses.js';
import { NAME_LEAST, NameSearch } from './name-search.js';
import type { ScrubReport } from './scrub.js';

/** In numbers a short name is found by chance. */
const TELLING_IN_NUMBERS = 8;
/** Two small numbers side by side look like an address below, where a driver may choose to have its memory; not like one of the kernel's choice. */
const HIGH = 1n << 44n;
const TEXT: readonly number[] = [
  PayloadRole.PATH,
  PayloadRole.NAME,
  PayloadRole.EXE,
  PayloadRole.ARGV,
  PayloadRole.MAPS,
];

/** What is there all the same, in words; nothing: it is clean. */
export function checkScrubbed(
  trace: Trace,
  report: Pick<ScrubReport, 'names' | 'addresses' | 'iovas'>,
): readonly string[] {
  const found = new Set<string>();
  const names = new NameSearch(report.names);
  const searchBytes = (bytes: Uint8Array, where: string, least = NAME_LEAST): void => {
    if (names.in(bytes, least).size > 0) found.add(`a name in ${where}`);
  };
  const { header, definitions, summary } = trace;
  searchBytes(
    Buffer.from(texts([header, summary, ...Object.values(definitions)]).join('\0')),
    'the definitions',
  );

  const isGone = (address: bigint): boolean => report.addresses.isGone(address);
  const session = new Session(definitions);
  for (const event of trace.events()) {
    const where = `event ${event.number}`;
    visitAddresses(event, session.ioctl(event.object, event.op), (address) => {
      if (isGone(address)) found.add(`an address in ${where}`);
      return address;
    });
    if (event.kind === EventKind.DMA && event.value !== 0n) found.add(`contents of memory in ${where}`);
    for (const { role, data } of event.payloads) {
      searchBytes(data, where, TEXT.includes(role) ? NAME_LEAST : TELLING_IN_NUMBERS);
      if (event.kind === EventKind.DMA && data.length > 0) found.add(`contents of memory in ${where}`);
      if (event.kind === EventKind.IOCTL && role !== PayloadRole.KIND)
        for (let at = 0; at + 8 <= data.length; at += 8) {
          const word = readU64(data, at);
          if (word >= HIGH && isGone(word) && report.iovas.at(word) === undefined)
            found.add(`an address in ${where}`);
        }
    }
    if (STATE_KINDS.includes(event.kind)) session.apply(event);
  }
  return [...found];
}

/** Every string in it, however deep. */
function texts(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return [];
  const inside = value instanceof Map ? value.values() : Object.values(value);
  return [...inside].flatMap(texts);
}
