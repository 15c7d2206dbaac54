// SPDX-License-Identifier: Apache-2.0
/** `--sim` and `--sim-kernel`, which `record` and `run` share. */
import { UserError } from '../abi/user-error.js';
import { whyNoMmio } from '../recorder/launch/spawn.js';
import type { Simulator, SimulatorReport } from '../replayer/simulator/simulator.js';

export const simulationOptions = {
  sim: {
    type: 'array',
    string: true,
    default: [] as string[],
    describe:
      'a simulated device instead of the machine’s: nvme[:file=F,size=64M,bdf=B], edu, generic:FILE, vfio-user:SOCKET, TRACE.vtape; several make several, from 0000:00:04.0 on; each takes remove-after=TIME',
  },
  'sim-kernel': {
    type: 'string',
    describe:
      'the simulated kernel and its machine: version=6.12|6.1,iommu=intel|amd|virtio|none,unsafe-interrupts=on|off,noiommu=on|off',
  },
  abi: {
    type: 'string',
    describe:
      'which VFIO the simulated kernel has: modern (the default), or lyon2010, the first one, with /dev/vfioN',
  },
} as const;

interface SimulationArguments {
  readonly abi: string | undefined;
  readonly sim: readonly string[];
  readonly 'sim-kernel': string | undefined;
}

/** The simulated machine; undefined when none is asked for. */
export async function simulate(
  verb: string,
  { sim, 'sim-kernel': variant, abi }: SimulationArguments,
): Promise<Simulator | undefined> {
  if (abi !== undefined && abi !== 'modern' && abi !== 'lyon2010')
    throw new UserError(
      `${verb}: --abi ${abi}: no such interface; there are modern, which is the default, and lyon2010`,
    );
  if (sim.length === 0) {
    const alone = variant !== undefined ? '--sim-kernel' : abi !== undefined ? '--abi' : undefined;
    if (alone !== undefined) throw new UserError(`${verb}: ${alone} goes with --sim`);
    return undefined;
  }
  const missing = whyNoMmio();
  if (missing !== undefined) throw new UserError(`${verb}: --sim needs to see loads and stores: ${missing}`);
  // Only now: who records hardware doesn't wait for a kernel to be read in.
  const { startSimulator } = await import('../replayer/simulator/simulator.js');
  return await startSimulator(sim, variant ?? '', abi);
}

export function reportSimulation(report: SimulatorReport, say: (line: string) => void): void {
  const { faults, firstFaults, refused, bugs, notes } = report;
  for (const note of notes) say(note);
  if (refused !== undefined)
    say(
      `the driver's memory could not be reached (${refused}): run vfiotape as the driver's user, and the driver without privileges of its own`,
    );
  if (faults > 0) {
    for (const line of firstFaults) say(line);
    if (faults > firstFaults.length) say(`${faults} IOMMU faults in all`);
  }
  const [bug] = bugs;
  if (bug !== undefined) throw new Error(`the simulated machine failed, and answered EIO: ${bug}`);
}
