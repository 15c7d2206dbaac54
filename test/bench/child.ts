// SPDX-License-Identifier: Apache-2.0
/** One run in a process of its own: a command line starts with nothing compiled, and its memory is what counts. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { peakRssMb, processCpuNs, threadCpuNs } from './harness.js';

export interface ChildRun {
  readonly events: number;
  /** Of the calling thread; compiler and collector of garbage have others. */
  readonly threadNs: number;
  /** Of all threads. */
  readonly processNs: number;
  readonly wallNs: number;
  readonly peakRssMb: number;
}

/** Of a module that calls `serveRun`. */
export async function inChild(module: string, args: readonly string[]): Promise<ChildRun> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...process.execArgv,
    fileURLToPath(module),
    ...args,
  ]);
  return JSON.parse(stdout) as ChildRun;
}

/** When the module is the program: `work` answers the number of events. */
export async function serveRun(
  module: string,
  work: (args: readonly string[]) => Promise<number>,
): Promise<void> {
  const [, program, ...args] = process.argv;
  if (program !== fileURLToPath(module) || args.length === 0) return;
  const thread = threadCpuNs();
  const whole = processCpuNs();
  const wall = process.hrtime.bigint();
  const events = await work(args);
  const run: ChildRun = {
    events,
    threadNs: threadCpuNs() - thread,
    processNs: processCpuNs() - whole,
    wallNs: Number(process.hrtime.bigint() - wall),
    peakRssMb: peakRssMb(),
  };
  process.stdout.write(JSON.stringify(run));
}
