// SPDX-License-Identifier: Apache-2.0
/** Events as JSON objects: docs/dump-json.md is the promise. */
import type { Part, PartValue } from '../../abi/ioctl.js';
import { errnoName } from '../../abi/linux/errno.js';
import { hex, hexBytes } from '../../abi/text.js';
import { type Event, EventFlag, PayloadRole } from '../../traces/model.js';
import type { DefinitionMaps } from '../../traces/reader.js';
import type { ObjectNames } from '../object-names.js';
import { isRedacted, payloadBytes } from '../payloads.js';
import type { Description } from './description.js';
import { kindName } from './kinds.js';
import type { SiteNames } from './site.js';

/** 64-bit numbers don't fit a JSON number: they are strings. */
function jsonValue(value: PartValue): unknown {
  if (typeof value === 'bigint') return hex(value);
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(jsonValue);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonValue(inner)]));
}

/** By name; a name that comes twice keeps all its values, in a list. */
function partsObject(parts: readonly Part[], out: boolean): Readonly<Record<string, unknown>> | undefined {
  const object: Record<string, unknown> = {};
  let any = false;
  for (const part of parts) {
    if (part.out !== out) continue;
    any = true;
    object[part.name] = jsonValue(part.value);
  }
  return any ? object : undefined;
}

const DATA_SHOWN = 4096;

export function eventJson(
  definitions: DefinitionMaps,
  names: ObjectNames,
  event: Event,
  description: Description,
  sites: SiteNames,
): Readonly<Record<string, unknown>> {
  const thread = definitions.threads.get(event.thread);
  const process = thread === undefined ? undefined : definitions.processes.get(thread.process);
  const bdf = names.device(event.object)?.bdf;
  const data = payloadBytes(event, PayloadRole.DATA);
  const went = partsObject(description.parts, false);
  const came = partsObject(description.parts, true);
  const { registers } = description;
  return {
    number: event.number,
    time_ns: Math.round(event.time),
    ...(event.duration > 0 && { duration_ns: Math.round(event.duration) }),
    ...(process !== undefined && { pid: process.pid }),
    ...(thread !== undefined && { tid: thread.tid }),
    kind: kindName(event.kind),
    op: description.op,
    ...(event.object !== 0 && { object: names.name(event.object) }),
    ...(bdf !== undefined && bdf !== '' && { device: bdf }),
    ...(event.fd >= 0 && { fd: event.fd }),
    ...(description.region !== undefined && { region: description.region }),
    offset: hex(description.offset ?? event.offset),
    value: hex(event.value),
    result: String(event.result),
    ...(event.errno !== 0 && { errno: errnoName(event.errno) }),
    ...(went !== undefined && { in: went }),
    ...(came !== undefined && { out: came }),
    ...(registers !== undefined &&
      registers.length > 0 && {
        registers: registers.map(({ name, value, fields }) => ({
          name,
          value: hex(value),
          fields: Object.fromEntries(Object.entries(fields).map(([field, held]) => [field, Number(held)])),
        })),
      }),
    ...(data !== undefined && { data: hexBytes(data, DATA_SHOWN), data_bytes: data.length }),
    ...((event.flags & EventFlag.INTENT) !== 0 && { completed: false }),
    ...((event.flags & EventFlag.RAW) !== 0 && { raw_syscall: true }),
    ...(isRedacted(event) && { redacted: true }),
    ...(!description.known && { known: false }),
    ...sites.json(event.site, event.kind),
    text: description.text,
  };
}
