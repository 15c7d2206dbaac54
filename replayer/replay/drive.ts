// SPDX-License-Identifier: Apache-2.0
import type { ReplayReport } from './divergence.js';
import type { Progress, Replay } from './replay.js';

/** So long at most nobody else gets a turn: signals, and whoever wants to stop the replay. */
const SLICE_MS = 20;
/** A long wait looks so often whether it is to be given up. */
const IDLE_MS = 100;
const OPERATIONS_BETWEEN_LOOKS = 64;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A whole replay; `shown` is told of each operation. */
export async function driveReplay(
  replay: Replay,
  shown?: (progress: Progress) => Promise<void>,
): Promise<ReplayReport> {
  const running = replay.run();
  let since = performance.now();
  for (let n = 1; ; n++) {
    const step = running.next();
    if (step.done === true) return step.value;
    const { idleNs } = step.value;
    if (idleNs > 0) await pause(Math.min(idleNs / 1e6, IDLE_MS));
    else await shown?.(step.value);
    if (n % OPERATIONS_BETWEEN_LOOKS !== 0 || performance.now() - since < SLICE_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    since = performance.now();
  }
}
