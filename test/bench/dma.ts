// SPDX-License-Identifier: Apache-2.0
/** What a store costs while DMA-mapped memory is compared (`record --dma content` on hardware); dma-cost.c measures. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../../abi/package-root.js';
import { openTrace } from '../../traces/reader.js';
import { compileC } from '../compile.js';
import { type Area, type Figure, RUNS } from './harness.js';

const run = promisify(execFile);
/** 1 MiB: queues and buffers of a small driver; 64 MiB: all that is compared. */
const SMALL = 256;
const LARGE = 16384;
const BOUND = 64 << 20;

export function buildDmaCost(directory: string): string {
  const program = join(directory, 'dma-cost');
  compileC(program, ['test/bench/dma-cost.c']);
  return program;
}

async function measure(directory: string, report: (figure: Figure) => void): Promise<void> {
  const program = buildDmaCost(directory);
  const recorder = join(packageRoot(), 'dist/test/end-to-end/record-standin.js');
  const trace = join(directory, 'dma.vtape');
  const words = [recorder, trace, '--mmio=patch', `--dma=${BOUND}`, program, String(RUNS)];
  const { stdout } = await run(process.execPath, [...words, '0', String(SMALL), String(LARGE)]);
  const costs = new Map(
    [...stdout.matchAll(/^(\S+) ([\d.]+)$/gm)].map(([, name = '', value]) => [name, Number(value)]),
  );
  const cost = (name: string): number => costs.get(name) ?? Number.NaN;
  const opened = openTrace(trace);
  const tracked = opened.summary?.dmaComparisons[0]?.tracked ?? 0;
  opened.close();
  const say = (name: string, value: number, unit: string): void =>
    report({ name: `dma.${name}`, value, unit, goal: '' });
  const nothing = cost('0.same');
  say('store_ns', nothing, 'ns, nothing mapped');
  say('store_1mib_us', cost(`${SMALL}.same`) / 1000, tracked > 0 ? 'us, tracked' : 'us');
  say('store_64mib_us', cost(`${LARGE}.same`) / 1000, tracked > 0 ? 'us, tracked' : 'us');
  say('compare_ns_per_page', (cost(`${SMALL}.same`) - nothing) / SMALL, 'ns per 4 KiB, of 1 MiB');
  say('compare_memory_ns_per_page', (cost(`${LARGE}.same`) - nothing) / LARGE, 'ns per 4 KiB, of 64 MiB');
  say('changed_page_us', (cost(`${SMALL}.changed`) - cost(`${SMALL}.same`)) / 1000, 'us');
}

export const area: Area = {
  name: 'dma',
  run: async (report) => {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      await measure(directory, report);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};
