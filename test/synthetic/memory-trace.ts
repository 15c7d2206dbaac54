// SPDX-License-Identifier: Apache-2.0
/** A session as an open trace, without a file in between. */
import type { Trace } from '../../traces/reader.js';
import { HEADER, type SyntheticSession } from './builder.js';

export function memoryTrace({ definitions, batch }: SyntheticSession): Trace {
  const byId = <T extends { readonly id: number }>(list: readonly T[]) =>
    new Map(list.map((one) => [one.id, one]));
  return {
    name: 'memory',
    header: HEADER,
    definitions: {
      processes: byId(definitions.processes),
      threads: byId(definitions.threads),
      objects: byId(definitions.objects),
      modules: byId(definitions.modules),
      sites: byId(definitions.sites),
      devices: byId(definitions.devices),
      mmioSites: new Map(definitions.mmioSites.map((one) => [one.site, one])),
    },
    summary: undefined,
    clock: HEADER.clock,
    damages: [],
    indexed: true,
    stream: false,
    size: 0,
    eventCount: batch.length,
    *chunks() {
      yield* [];
    },
    *batches({ from = 0, to = Number.POSITIVE_INFINITY } = {}) {
      batch.begin = Math.min(from, batch.length);
      batch.end = Math.min(to, batch.length);
      if (batch.begin < batch.end) yield batch;
    },
    *events() {
      yield* [];
    },
    event: () => undefined,
    ticksToNs: Number,
    ticksPerSecond: 1e9,
    close: () => undefined,
  };
}
