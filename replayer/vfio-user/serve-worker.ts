// SPDX-License-Identifier: Apache-2.0
/** The thread that waits for clients: the main one hears signals meanwhile. */
import { parentPort, workerData } from 'node:worker_threads';
import { faultText } from '../kernel/iommu/faults.js';
import { parseDevice } from '../simulator/device-options.js';
import type { ServeMessage, ServeStart } from './serve.js';
import { VfioUserServer } from './server.js';

const { device, listening, stop } = workerData as ServeStart;
const tell = (message: ServeMessage): void => parentPort?.postMessage(message);

const server = new VfioUserServer(parseDevice(device), stop, (line) => tell({ line }));
server.serve(listening);
const { faults } = server.device.kernel;
tell({
  report: {
    faults: faults.count,
    firstFaults: faults.first.slice(0, 4).map(faultText),
    refused: undefined,
    notes: [],
    bugs: [],
    plays: [],
  },
});
