// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { platformModels, traceEvents } from './device-log.js';

export interface DeviceTracing {
  /** More of QEMU's options. */
  readonly qemu: readonly string[];
  /** The log, once QEMU has ended. */
  readonly log: () => Promise<string>;
}

/** Has QEMU write down every access to a device, through a pipe that leaves out what is not about PCI devices. */
export function traceDevices(directory: string): DeviceTracing {
  const pipe = join(directory, 'accesses.pipe');
  const kept = join(directory, 'accesses.log');
  execFileSync('mkfifo', [pipe]);
  const noise = `name '(${platformModels.join('|')})'$`;
  const filter = spawn('sh', ['-c', 'exec grep -avE "$1" <"$2" >"$3"', 'sh', noise, pipe, kept], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => filter.once('close', () => resolve()));
  return {
    qemu: [...traceEvents.flatMap((event) => ['-trace', event]), '-D', pipe],
    log: async () => {
      // A QEMU that never came to open the pipe leaves its reader waiting for ever.
      const timer = setTimeout(() => filter.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
      return existsSync(kept) ? readFileSync(kept, 'latin1') : '';
    },
  };
}
