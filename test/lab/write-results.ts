// SPDX-License-Identifier: Apache-2.0
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import type { Driver } from './drivers.js';
import { truthTable } from './ground-truth/ground-truth.js';
import { fileName } from './guest-script.js';
import { findKernel } from './kernels.js';
import { type DriverResult, resultsTable } from './results.js';

/** A driver that could not be had. */
export interface NotRun {
  readonly driver: Driver;
  readonly why: string;
}

/** Puts what a run of the lab saw where it can be read without one: docs/lab-results.md, docs/mmio-ground-truth.md and traces/corpus. */
export function writeResults(
  results: readonly DriverResult[],
  notRun: readonly NotRun[],
  complete: boolean,
): void {
  const root = packageRoot();
  // A page about some of them would say that the others were never seen.
  if (complete) {
    writeFileSync(join(root, 'docs/lab-results.md'), resultsPage(results, notRun));
    writeFileSync(join(root, 'docs/mmio-ground-truth.md'), truthPage(results));
  }
  for (const result of results) {
    if (result.driver.kept !== false && result.checks.every(({ trouble }) => trouble === ''))
      addToCorpus(root, result);
  }
}

function resultsPage(results: readonly DriverResult[], notRun: readonly NotRun[]): string {
  const head = readFileSync(join(packageRoot(), 'test/lab/results-head.md'), 'utf8');
  const absent = notRun.map(({ driver, why }) => `- ${driver.name}: ${why}`).join('\n');
  const own = new Map<string, number>();
  for (const { ownCalls } of results) {
    for (const [name, count] of ownCalls) own.set(name, (own.get(name) ?? 0) + count);
  }
  const subtracted = [...own].sort().map(([name, count]) => `| \`${name}\` | ${count} |`);
  return [
    head.trimEnd(),
    resultsTable(results),
    `## Subtracted: what the shim asked the kernel for itself\n\n| call | times, in all runs |\n|---|---:|\n${subtracted.join('\n')}`,
    ...(absent === '' ? [] : [`## Not run\n\n${absent}`]),
    '',
  ].join('\n\n');
}

function truthPage(results: readonly DriverResult[]): string {
  const head = readFileSync(join(packageRoot(), 'test/lab/ground-truth/head.md'), 'utf8');
  const rows = results.flatMap(({ driver, truth }) =>
    truth === undefined ? [] : [{ name: driver.name, truth }],
  );
  return `${head.trimEnd()}\n\n${truthTable(rows)}\n`;
}

/** A recording and how it was made; traces/corpus/README.md says how the expected text beside it is made. */
function addToCorpus(root: string, { driver, directory, version }: DriverResult): void {
  const base = join(root, 'traces/corpus', driver.name);
  const kernel = findKernel(driver.kernel);
  mkdirSync(dirname(base), { recursive: true });
  copyFileSync(join(directory, `${fileName(driver, 'recorded')}.vtape`), `${base}.vtape`);
  writeFileSync(
    `${base}.md`,
    [
      `# ${driver.name}`,
      '',
      `- kernel: ${'title' in kernel ? kernel.title : driver.kernel}, in a guest of the lab (QEMU q35, intel-iommu, 2 CPUs)`,
      `- driver: ${version}`,
      `- command: \`${driver.command.join(' ')}\``,
      ...(driver.dialogue === undefined
        ? []
        : [`- told: ${driver.dialogue.map((step) => `\`${step}\``).join(', ')} (numbers are seconds)`]),
      `- made by: \`npm run test:lab -- --write${driver.newer === true ? ' --all' : ''} --only ${driver.name}\``,
      '',
    ].join('\n'),
  );
}
