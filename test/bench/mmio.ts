// SPDX-License-Identifier: Apache-2.0
/** What one load or store costs, caught in each way; recorder/shim/mmio/test/bench.c measures. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { buildWithRig } from '../../recorder/shim/mmio/test/build.js';
import type { Area, Figure } from './harness.js';

type Costs = ReadonlyMap<string, number>;

function measure(program: string, how: string, threads: number): Costs {
  const lines = execFileSync(program, [how, String(threads)], { encoding: 'utf8', timeout: 120_000 });
  return new Map(
    [...lines.matchAll(/^(\w+) ([\d.]+)$/gm)].map(([, name = '', value]) => [name, Number(value)]),
  );
}

/** Loads and stores together, without the loop around them. */
function access(costs: Costs, where = ''): number {
  const of = (name: string): number => costs.get(name) ?? Number.NaN;
  return (of(`${where}load`) + of(`${where}store`)) / 2 - of('empty');
}

const above = (limit: number): string => `<= ${limit.toFixed(2)}`;

function reportThreads(report: (figure: Figure) => void, program: string, threads: number): void {
  const suffix = threads === 1 ? '' : `_${threads}_threads`;
  const say = (name: string, value: number, goal = ''): void =>
    report({ name: `mmio.${name}${suffix}_ns`, value, unit: 'ns per access', goal });
  const patched = measure(program, 'patch', threads);
  const rdtsc = (patched.get('rdtsc') ?? Number.NaN) - (patched.get('empty') ?? 0);
  say('rdtsc', rdtsc);
  say('bare', Math.max(0, access(measure(program, 'bare', threads))));
  say('patched', access(patched), above(rdtsc + 4));
  say('patched_on_memory', access(patched, 'memory_'), above(3));
  say('trapped', access(measure(program, 'trap', threads)), above(4000));
  say('stepped_like_mmiotrace', access(measure(program, 'step', threads)));
}

/** Share of DPDK's MMIO sites that become jumps; where its drivers are usually loaded, and where they could be. */
function reportPatchable(report: (figure: Figure) => void): void {
  const sites = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfiotape/dpdk-sites');
  if (!existsSync(join(sites, 'sites.txt'))) {
    process.stdout.write(
      `${'mmio.patchable_percent'.padEnd(44)} not measured: test/bench/dpdk-sites first\n`,
    );
    return;
  }
  const program = buildWithRig('patchable', []);
  try {
    for (const place of ['library', 'pie', 'low']) {
      const args = [join(sites, 'pmd.so'), join(sites, 'sites.txt'), place];
      const [, all, patched] =
        /^sites (\d+) patched (\d+)/.exec(
          execFileSync(program, args, { encoding: 'utf8', timeout: 120_000 }),
        ) ?? [];
      report({
        name: place === 'library' ? 'mmio.patchable_percent' : `mmio.patchable_${place}_percent`,
        value: (Number(patched) / Number(all)) * 100,
        unit: `% of ${all} sites`,
        goal: place === 'library' ? '>= 99' : '',
      });
    }
  } finally {
    rmSync(program, { force: true });
  }
}

export const area: Area = {
  name: 'mmio',
  run: async (report) => {
    const program = buildWithRig('bench', []);
    try {
      for (const threads of [1, 2]) reportThreads(report, program, threads);
    } finally {
      rmSync(program, { force: true });
    }
    reportPatchable(report);
  },
};
