// SPDX-License-Identifier: Apache-2.0

import { Pass } from '../../session/phases/pass.js';
import type { Phase } from '../../session/phases/phase.js';
import { PhaseCursor } from '../../session/phases/phase.js';
import { NO_PHASES, phasesAfter, type SessionPhases } from '../../session/phases/phases.js';
import type { Trace } from '../../traces/reader.js';
import type { CellTable } from './cells.js';
import { COLLECTED, Collection } from './collect.js';
import { Stretches } from './stretches.js';

/** All of a trace, counted. */
export interface Collected {
  readonly collection: Collection<string>;
  readonly table: CellTable<Phase>;
  readonly phases: SessionPhases;
}

/** Reads the trace once; where phases may begin again and again, a second time from its start. */
export function collect(trace: Trace): Collected {
  if (trace.stream) return byPhase(trace, NO_PHASES);
  const stretches = new Stretches();
  const pass = new Pass(trace, (event) => stretches.add(event));
  const collection = new Collection(trace, stretches);
  for (const batch of trace.batches({ groups: true, columns: COLLECTED })) {
    pass.follow(batch);
    if (!stretches.areTooMany) collection.add(batch);
    // Which series are counted without their call site must not depend on how they were counted.
    if (!stretches.areTooMany && collection.table.folded === 0) continue;
    return byPhase(trace, phasesAfter(trace, pass.run(batch.firstEvent + batch.length)));
  }
  const phases = phasesAfter(trace, pass);
  return { collection, table: stretches.settle(collection.table, phases.spans), phases };
}

function byPhase(trace: Trace, phases: SessionPhases): Collected {
  const collection = new Collection(trace, new PhaseCursor(phases.spans));
  for (const batch of trace.batches({ groups: true, columns: COLLECTED })) collection.add(batch);
  return { collection, table: collection.table, phases };
}
