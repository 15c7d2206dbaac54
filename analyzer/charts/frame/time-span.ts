// SPDX-License-Identifier: Apache-2.0
import type { Trace } from '../../../traces/reader.js';

/** When the first and the last of a trace's events were done, ns since the start of the recording; 0 and 0 where it has none. */
export function timeSpan(trace: Trace): { readonly from: number; readonly to: number } {
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (const { firstTicks, lastTicks } of trace.chunks()) {
    from = Math.min(from, trace.ticksToNs(firstTicks));
    to = Math.max(to, trace.ticksToNs(lastTicks));
  }
  return { from: Number.isFinite(from) ? from : 0, to };
}
