// SPDX-License-Identifier: Apache-2.0
import { LYON_DEVICE } from '../../abi/object-kinds.js';
import type { Trace } from '../../traces/reader.js';
import type { ReplayReport } from './divergence.js';
import { driveReplay } from './drive.js';
import { adaptTarget } from './interfaces/adapt.js';
import { PATIENCE_NS } from './patience.js';
import { Replay, type ReplayOptions, replayOptions } from './replay.js';
import { SimulatedTarget } from './simulated-target.js';

/** The simulated kernel, with the interface that the session was recorded on. */
export function simulatedTarget(trace: Trace, device: string, variant: string): SimulatedTarget {
  const isLyon = [...trace.definitions.objects.values()].some(({ kind }) => kind === LYON_DEVICE);
  return new SimulatedTarget(device, variant, isLyon ? 'lyon2010' : 'modern');
}

export interface SimulatedReplayOptions extends Partial<Pick<ReplayOptions, 'masks' | 'pace' | 'until'>> {
  /** As `--sim-kernel` takes it: `version=6.1,iommu=amd`. */
  readonly kernel?: string;
}

/**
 * Reissues a recorded session on a simulated device, `nvme` or whatever else `record --sim` takes, and reports every divergence.
 * A UserError says what is wrong with `device`, `kernel` or the trace.
 */
export async function replay(
  trace: Trace,
  device: string,
  { kernel = '', ...given }: SimulatedReplayOptions = {},
): Promise<ReplayReport> {
  const simulated = simulatedTarget(trace, device, kernel);
  const target = adaptTarget(trace, simulated);
  const patienceNs = simulated.isOutside ? PATIENCE_NS : 0;
  try {
    return await driveReplay(new Replay(trace, target, replayOptions({ ...given, patienceNs })));
  } finally {
    target.end();
  }
}
