// SPDX-License-Identifier: Apache-2.0
/** `serve DEVICE --vfio-user SOCKET`: a device of ours for vfio-user clients. */
import { lstatSync, unlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { errnoName } from '../../abi/linux/errno.js';
import { UserError } from '../../abi/user-error.js';
import { ECONNREFUSED } from '../kernel/errno.js';
import { placeDevices } from '../kernel/topology.js';
import { Libc } from '../native/libc.js';
import { UnixSockets } from '../native/sockets.js';
import { parseDevice } from '../simulator/device-options.js';
import type { SimulatorReport } from '../simulator/simulator.js';

export interface ServeStart {
  /** As `--sim` has it. */
  readonly device: string;
  readonly listening: number;
  readonly stop: number;
}

export type ServeMessage = { readonly line: string } | { readonly report: SimulatorReport };

export interface Serving {
  /** Lets the client go and ends. */
  stop(): void;
  readonly ended: Promise<SimulatorReport>;
}

/** Whoever may connect may have the device, and is trusted with nothing else. */
const PRIVATE_UMASK = 0o177;

/** What is wrong with device and socket is the user's, and thrown before anything is started. */
export function serve(device: string, path: string, say: (line: string) => void): Serving {
  checkDevice(device);
  const libc = new Libc();
  const listening = listen(new UnixSockets(libc), libc, path);
  const stop = libc.eventfd(0, 0);
  const start: ServeStart = { device, listening, stop };
  const worker = new Worker(new URL('./serve-worker.js', import.meta.url), {
    workerData: start,
    // Its descriptors come over sockets, and from another thread.
    trackUnmanagedFds: false,
  });
  const ended = new Promise<SimulatorReport>((resolve, reject) => {
    worker.on('message', (message: ServeMessage) => {
      if ('line' in message) say(message.line);
      else resolve(message.report);
    });
    worker.once('error', reject);
  });
  return {
    stop: () => void libc.write(stop, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)),
    ended: ended.finally(() => {
      libc.close(listening);
      unlinkSync(path);
    }),
  };
}

/** What is wrong with it is said as of `--sim`, which this is not. */
function checkDevice(device: string): void {
  try {
    const slot = parseDevice(device);
    placeDevices([slot]);
    slot.device.close?.();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message.replace(/^--sim /, 'serve '));
  }
}

function listen(sockets: UnixSockets, libc: Libc, path: string): number {
  clearAway(sockets, libc, path);
  const before = process.umask(PRIVATE_UMASK);
  try {
    const fd = sockets.listen(path);
    if (fd >= 0) return fd;
    throw new UserError(`serve: ${path} can't be listened at: ${errnoName(-fd)}`);
  } catch (error) {
    throw error instanceof RangeError ? new UserError(`serve: ${error.message}`) : error;
  } finally {
    process.umask(before);
  }
}

/** What a server that was killed has left behind; anything else is somebody's. */
function clearAway(sockets: UnixSockets, libc: Libc, path: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new UserError(`serve: ${path} is there already, and no socket`);
  const fd = sockets.connect(path);
  if (fd >= 0) libc.close(fd);
  if (fd !== -ECONNREFUSED) throw new UserError(`serve: somebody listens at ${path} already`);
  unlinkSync(path);
}
