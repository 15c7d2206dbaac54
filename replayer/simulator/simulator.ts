// SPDX-License-Identifier: Apache-2.0
/** A simulated machine for a driver to be run on: `record --sim` and `run --sim`. */
import { rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { UserError } from '../../abi/user-error.js';
import { SIM_VARIABLE } from '../../abi/wire/sim.js';
import type { PlayReport } from '../devices/recorded/departure.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { placeDevices } from '../kernel/topology.js';
import { type KernelAbi, parseVariant } from '../kernel/variant.js';
import { parseMasks } from '../replay/masks.js';
import { type DeviceChoice, makeDevice } from './device-options.js';
import { makeDirectory } from './directory.js';

export interface SimulatorStart {
  readonly directory: string;
  readonly devices: readonly DeviceChoice[];
  /** As `--sim-kernel` has it; '' for the default. */
  readonly variant: string;
  readonly abi: KernelAbi;
  readonly play: PlaySettings;
}

/** For devices out of a trace. */
export interface PlaySettings {
  /**
   * When the driver is answered no more: at the first departure from the script; when it waits and nothing is left of the
   * script that it could be given; never.
   */
  readonly stops: 'departed' | 'exhausted' | 'never';
  /** As a file of masks has them, with its name. */
  readonly masks?: { readonly text: string; readonly file: string };
}

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
  /** What was done to devices while drivers had them, and what came of it. */
  readonly notes: readonly string[];
  /** Stacks of what went wrong in the simulator itself. */
  readonly bugs: readonly string[];
  readonly plays: readonly PlayReport[];
}

/** What its thread tells. */
export type SimulatorNews =
  | { readonly what: 'ready'; readonly devices: readonly string[] }
  /** Instead of the first `ready`. */
  | { readonly what: 'mistake'; readonly message: string }
  | { readonly what: 'departure' }
  | { readonly what: 'report'; readonly report: SimulatorReport };

export interface Simulator {
  readonly directory: string;
  readonly abi: KernelAbi;
  /** Where its devices are: 0000:00:04.0. */
  readonly devices: readonly string[];
  /** What the driver needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Settled when a driver was answered no more. */
  readonly departed: Promise<void>;
  /** From now on what the devices do is recorded in this ring of the session. */
  recordDevices(session: string, ring: number): Promise<void>;
  /** Waits for what the driver left running, then takes the machine away. */
  stop(): Promise<SimulatorReport>;
}

/** Errors in `devices` and `variant` are the user's, and thrown before anything is started. */
export async function startSimulator(
  devices: readonly DeviceChoice[],
  variant: string,
  abi: KernelAbi = 'modern',
  play: PlaySettings = { stops: 'never' },
): Promise<Simulator> {
  tryOut(devices, variant, abi, play);
  const directory = makeDirectory();
  const start: SimulatorStart = { directory, devices, variant, abi, play };
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
  const failed = new Promise<never>((_, reject) => worker.once('error', reject));
  failed.catch(() => undefined);
  const heard = <W extends SimulatorNews['what']>(what: W): Promise<Extract<SimulatorNews, { what: W }>> =>
    new Promise((resolve) => {
      const listen = (news: SimulatorNews): void => {
        if (news.what !== what) return;
        worker.off('message', listen);
        resolve(news as Extract<SimulatorNews, { what: W }>);
      };
      worker.on('message', listen);
    });
  const departed = heard('departure').then(() => undefined);
  const started = await Promise.race([heard('ready'), heard('mistake'), failed]);
  if (started.what === 'mistake') {
    await worker.terminate();
    rmSync(directory, { recursive: true, force: true });
    throw new UserError(started.message);
  }
  const ask = (order: SimulatorOrder): void => worker.postMessage(order);
  return {
    directory,
    abi,
    devices: started.devices,
    departed,
    environment: { [SIM_VARIABLE]: directory },
    async recordDevices(session, ring) {
      const ready = heard('ready');
      ask({ what: 'record', session, ring });
      await Promise.race([ready, failed]);
    },
    async stop() {
      try {
        const report = heard('report').then((news) => news.report);
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
function tryOut(
  devices: readonly DeviceChoice[],
  variant: string,
  abi: KernelAbi,
  { masks }: PlaySettings,
): void {
  if (masks !== undefined) parseMasks(masks.text, masks.file);
  const parsed = parseVariant(variant);
  if (abi === 'lyon2010' && (parsed.noiommu || /\bversion=/.test(variant)))
    throw new UserError('--sim-kernel: --abi lyon2010 has its own version, and needs an IOMMU');
  const slots = devices.map((choice) => makeDevice(choice, abi));
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
