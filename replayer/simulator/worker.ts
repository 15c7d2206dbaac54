// SPDX-License-Identifier: Apache-2.0
/** The simulator's thread: an event loop of its own, so that recording doesn't slow the device down. */
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../../abi/user-error.js';
import { SIM_ROOT, SIM_SOCKET } from '../../abi/wire/sim.js';
import { faultText } from '../kernel/iommu/faults.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { parseVariant } from '../kernel/variant.js';
import { parseDevice } from './device-options.js';
import { DeviceRing } from './device-ring.js';
import { SimulatorServer } from './server.js';
import type { SimulatorOrder, SimulatorReport, SimulatorStart, SimulatorStarted } from './simulator.js';
import { layOutTree } from './tree.js';

const { directory, devices, variant, abi } = workerData as SimulatorStart;
const IDLE_POLL_MS = 20;

const kernel = await build();
const server = new SimulatorServer(kernel, layOutTree(join(directory, SIM_ROOT), kernel));
await server.listen(join(directory, SIM_SOCKET));
const started: SimulatorStarted = 'ready';
parentPort?.postMessage(started);

/** A device whose server can't be had is the user's mistake; an error's class does not get through to the other thread. */
async function build(): Promise<SimulatedKernel> {
  try {
    return new SimulatedKernel({
      variant: parseVariant(variant),
      abi,
      devices: devices.map((text) => parseDevice(text, abi)),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const told: SimulatorStarted = { mistake: error.message };
    parentPort?.postMessage(told);
    return await new Promise(() => undefined);
  }
}

/** Once the driver has ended: children that it left behind are waited for. */
function stop(): void {
  const finish = (): void => {
    if (!server.isIdle) {
      setTimeout(finish, IDLE_POLL_MS);
      return;
    }
    server.close();
    for (const { fn } of kernel.functions) fn.device.close?.();
    const report: SimulatorReport = {
      faults: kernel.faults.count,
      firstFaults: kernel.faults.first.slice(0, 4).map(faultText),
      refused: server.refused,
      bugs: server.bugs,
    };
    parentPort?.postMessage(report);
  };
  // The driver's hang-up may still be on its way.
  setImmediate(() => setImmediate(finish));
}

parentPort?.on('message', (order: SimulatorOrder) => {
  switch (order.what) {
    case 'record':
      kernel.watch = new DeviceRing(order.session, order.ring);
      parentPort?.postMessage('recording');
      break;
    case 'stop':
      stop();
      break;
  }
});
