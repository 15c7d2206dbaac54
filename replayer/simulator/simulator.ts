// SPDX-License-Identifier: Apache-2.0
/** A simulated machine for a driver to be run on: `record --sim` and `run --sim`. */
import { rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { UserError } from '../../abi/user-error.js';
import { SIM_VARIABLE } from '../../abi/wire/sim.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { placeDevices } from '../kernel/topology.js';
import { type KernelAbi, parseVariant } from '../kernel/variant.js';
import { parseDevice } from './device-options.js';
import { makeDirectory } from './directory.js';

export interface SimulatorStart {
  readonly directory: string;
  /** As `--sim` has them. */
  readonly devices: readonly string[];
  /** As `--sim-kernel` has it; '' for the default. */
  readonly variant: string;
  readonly abi: KernelAbi;
}

/** What its thread says first. */
export type SimulatorStarted = 'ready' | { readonly mistake: string };

/** What its thread is told. */
export type SimulatorOrder =
  | { readonly what: 'record'; readonly session: string; readonly ring: number }
  | { readonly what: 'stop' };

export interface SimulatorReport {
  /** DMA that the IOMMU stopped, and the first few of them in words. */
  readonly faults: number;
  readonly firstFaults: readonly string[];
  /** Why a driver's memory could not be reached. */
  readonly refused: string | undefined;
  /** Stacks of what went wrong in the simulator itself. */
  readonly bugs: readonly string[];
}

export interface Simulator {
  readonly directory: string;
  readonly abi: KernelAbi;
  /** What the driver needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** From now on what the devices do is recorded in this ring of the session. */
  recordDevices(session: string, ring: number): Promise<void>;
  /** Waits for what the driver left running, then takes the machine away. */
  stop(): Promise<SimulatorReport>;
}

/** Errors in `devices` and `variant` are the user's, and thrown before anything is started. */
export async function startSimulator(
  devices: readonly string[],
  variant: string,
  abi: KernelAbi = 'modern',
): Promise<Simulator> {
  tryOut(devices, variant, abi);
  const directory = makeDirectory();
  const start: SimulatorStart = { directory, devices, variant, abi };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
  const failed = new Promise<never>((_, reject) => worker.once('error', reject));
  failed.catch(() => undefined);
  const first = new Promise<SimulatorStarted>((resolve) => worker.once('message', resolve));
  const started = await Promise.race([first, failed]);
  if (started !== 'ready') {
    await worker.terminate();
    rmSync(directory, { recursive: true, force: true });
    throw new UserError(started.mistake);
  }
  const ask = (order: SimulatorOrder): void => worker.postMessage(order);
  return {
    directory,
    abi,
    environment: { [SIM_VARIABLE]: directory },
    async recordDevices(session, ring) {
      const ready = new Promise<void>((resolve) => worker.once('message', () => resolve()));
      ask({ what: 'record', session, ring });
      await Promise.race([ready, failed]);
    },
    async stop() {
      try {
        const report = new Promise<SimulatorReport>((resolve) => worker.once('message', resolve));
        ask({ what: 'stop' });
        return await Promise.race([report, failed]);
      } finally {
        await worker.terminate();
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

/** Finds what is wrong with a command line. Only the VFIO of 2010 may refuse a device, which a machine must be built for. */
function tryOut(devices: readonly string[], variant: string, abi: KernelAbi): void {
  const parsed = parseVariant(variant);
  if (abi === 'lyon2010' && (parsed.noiommu || /\bversion=/.test(variant)))
    throw new UserError('--sim-kernel: --abi lyon2010 has its own version, and needs an IOMMU');
  const slots = devices.map((text) => parseDevice(text, abi));
  try {
    placeDevices(slots);
    // Who connects to somebody's server connects once.
    if (abi === 'modern') return;
    const { lyon } = new SimulatedKernel({ variant: parsed, abi, devices: slots });
    const [refused] = lyon?.refused ?? [];
    if (refused !== undefined)
      throw new UserError(
        `--abi lyon2010: ${refused.name} is not well-behaved, and VFIO refused it in 2010: ${refused.reason}`,
      );
  } finally {
    for (const { device } of slots) device.close?.();
  }
}
