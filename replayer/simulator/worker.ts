// SPDX-License-Identifier: Apache-2.0
/** The simulator's thread: an event loop of its own, so that recording doesn't slow the device down. */
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../../abi/user-error.js';
import { SIM_ROOT, SIM_SOCKET } from '../../abi/wire/sim.js';
import { RecordedDevice } from '../devices/recorded/recorded.js';
import { faultText } from '../kernel/iommu/faults.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { parseVariant } from '../kernel/variant.js';
import { parseMasks } from '../replay/masks.js';
import { makeDevice, type PlayOptions } from './device-options.js';
import { DeviceRing } from './device-ring.js';
import { placeInFile } from './driver-site.js';
import { SimulatorServer } from './server.js';
import type { SimulatorNews, SimulatorOrder, SimulatorReport, SimulatorStart } from './simulator.js';
import { layOutTree } from './tree.js';

const { directory, devices, variant, abi, play } = workerData as SimulatorStart;
const IDLE_POLL_MS = 20;

const tell = (news: SimulatorNews): void => parentPort?.postMessage(news);
const kernel = await build();
const server = new SimulatorServer(kernel, layOutTree(join(directory, SIM_ROOT), kernel));
await server.listen(join(directory, SIM_SOCKET));
tell({ what: 'ready', devices: kernel.functions.map(({ name }) => name) });

/** A device whose server can't be had is the user's mistake; an error's class does not get through to the other thread. */
async function build(): Promise<SimulatedKernel> {
  const options: PlayOptions = {
    stops: play.stops === 'departed',
    site: () => (server.site === undefined ? undefined : placeInFile(server.site)),
    onDeparture() {
      if (play.stops === 'departed') hold();
    },
    onExhausted() {
      if (play.stops === 'exhausted') hold();
    },
    ...(play.masks !== undefined && { masks: parseMasks(play.masks.text, play.masks.file) }),
  };
  try {
    return new SimulatedKernel({
      variant: parseVariant(variant),
      abi,
      devices: devices.map((choice) => makeDevice(choice, abi, options)),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    tell({ what: 'mistake', message: error.message });
    return await new Promise(() => undefined);
  }
}

/** The driver is to be ended. */
function hold(): void {
  server.hold();
  tell({ what: 'departure' });
}

function devicesPlayed(): readonly RecordedDevice[] {
  return kernel.devices.flatMap(({ core }) => {
    const { device } = core.pci.fn;
    return device instanceof RecordedDevice ? [device] : [];
  });
}

/** Once the driver has ended: children that it left behind are waited for. */
function stop(): void {
  const finish = (): void => {
    if (!server.isIdle && !server.isHeld) {
      setTimeout(finish, IDLE_POLL_MS);
      return;
    }
    const plays = devicesPlayed().map((device) => device.finish());
    server.close();
    for (const { fn } of kernel.functions) fn.device.close?.();
    const report: SimulatorReport = {
      faults: kernel.faults.count,
      firstFaults: kernel.faults.first.slice(0, 4).map(faultText),
      refused: server.refused,
      notes: kernel.administration.notes,
      bugs: server.bugs,
      plays,
    };
    tell({ what: 'report', report });
  };
  // The driver's hang-up may still be on its way.
  setImmediate(() => setImmediate(finish));
}

parentPort?.on('message', (order: SimulatorOrder) => {
  switch (order.what) {
    case 'record':
      kernel.watch = new DeviceRing(order.session, order.ring);
      tell({ what: 'ready', devices: kernel.functions.map(({ name }) => name) });
      break;
    case 'stop':
      stop();
      break;
  }
});
