// SPDX-License-Identifier: Apache-2.0
import { EventKind, ObjectKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { withChanges } from './with-changes.js';

const EINVAL = 22;
/** Between two loads of one register they are not there. */
const NOTHING: ReadonlySet<number> = new Set([EventKind.CLOCK, EventKind.WAKE, EventKind.SITE]);

/** Twenty values and errnos of a session with edu, changed; the numbers of their events. */
export async function plantTwenty(
  original: Trace,
  path: string,
): Promise<{ readonly trace: Trace; readonly events: readonly number[] }> {
  let last = '';
  let planted = 0;
  return await withChanges(original, path, (batch, row) => {
    const kind = batch.kind[row] as number;
    const place = `${kind} ${batch.object[row]} ${batch.op[row]} ${batch.offset[row]}`;
    // Loads of one register in a row are one.
    const repeated = kind === EventKind.LOAD && place === last;
    if (!NOTHING.has(kind)) last = place;
    if (planted === 20 || repeated) return false;
    const objectKind = original.definitions.objects.get(batch.object[row] as number)?.kind;
    const isDevice = objectKind === ObjectKind.DEVICE;
    if (kind === EventKind.LOAD || (kind === EventKind.READ && isDevice))
      batch.value[row] = (batch.value[row] as bigint) ^ 0x40n;
    else if (kind === EventKind.IOCTL && (isDevice || objectKind === ObjectKind.CONTAINER))
      batch.errno[row] = EINVAL;
    else return false;
    planted++;
    return true;
  });
}
