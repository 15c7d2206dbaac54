// SPDX-License-Identifier: Apache-2.0
// `npm run test:lab`: real drivers on a real kernel's VFIO, by themselves, recorded, and recorded under strace.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../abi/package-root.js';
import { type Driver, drivers } from './drivers.js';
import { guestScript } from './guest-script.js';
import { findKernel, type Kernel, type KernelName } from './kernels.js';
import { boot, lastLines } from './machine.js';
import { type DriverResult, examine } from './results.js';
import { writeResults } from './write-results.js';

const usage = `usage: npm run test:lab -- [--only TEXT]… [--keep] [--write]
  --only TEXT  the drivers whose name has TEXT in it
  --keep       leave the guests' files (logs, traces) where they are, and say where
  --write      write what was seen to docs/lab-results.md and traces/corpus`;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

let passed = 0;
let failed = 0;
let skipped = 0;

function pass(name: string): void {
  passed++;
  console.log(`✔ ${name}`);
}

function fail(name: string, why: string): void {
  failed++;
  console.log(`✖ ${name}\n${why.replace(/^/gm, '    ')}`);
}

function notRun(name: string, why: string): void {
  skipped++;
  console.log(`﹣ ${name}: not run: ${why}`);
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v "${program}"`]).status === 0;
}

/** Why a driver can't run here, undefined when it can. */
function reasonNotToRun(driver: Driver): string | undefined {
  const kernel = findKernel(driver.kernel);
  if ('missing' in kernel) return kernel.missing;
  const program = driver.command[0] ?? '';
  return program.startsWith('$') || has(program)
    ? undefined
    : `there is no ${program}; test/lab/setup installs it`;
}

function buildPrograms(directory: string): Uint8Array {
  const root = packageRoot();
  execFileSync('make', ['-s', '-C', join(root, 'examples/edu'), `OUT=${join(root, 'build/examples')}`], {
    stdio: 'inherit',
  });
  const object = join(directory, 'boot-sector.o');
  const image = join(directory, 'boot-sector');
  execFileSync('as', ['--32', '-o', object, join(root, 'test/lab/guest/boot-sector.S')]);
  execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, image]);
  return readFileSync(image);
}

async function runGuest(
  kernel: Kernel,
  list: readonly Driver[],
  work: string,
  sector: Uint8Array,
): Promise<DriverResult[]> {
  const directory = join(work, kernel.name);
  mkdirSync(directory);
  const seconds = 120 + list.reduce((sum, driver) => sum + 3 * driver.seconds + 60, 0);
  console.log(`# a guest with ${kernel.title}: ${list.map(({ name }) => name).join(', ')}`);
  const result = await boot({
    kernel,
    devices: [...new Set(list.map(({ device }) => device))],
    script: guestScript(list),
    directory,
    bootSector: sector,
    seconds,
  });
  if (result.trouble === undefined)
    pass(`${kernel.name} guest boots, runs ${list.length} drivers and powers off`);
  else
    fail(
      `${kernel.name} guest`,
      `${result.trouble}\n${lastLines(join(directory, 'qemu.log'))}\n${lastLines(result.serialLog)}`,
    );
  console.log(`# ${result.seconds.toFixed(0)} s`);
  const results = list.map((driver) => examine(result.out, driver));
  for (const { driver, checks } of results) {
    for (const { name, trouble } of checks) {
      if (trouble === '') pass(`${driver.name} ${name}`);
      else fail(`${driver.name} ${name}`, trouble);
    }
  }
  if (results.some(({ checks }) => checks.some(({ trouble }) => trouble !== ''))) {
    console.log(
      `# the end of the guest's serial log:\n${lastLines(result.serialLog).replace(/^/gm, '    ')}`,
    );
  }
  return results;
}

async function main(): Promise<void> {
  if (options.help) {
    console.log(usage);
    return;
  }
  // Does only what is missing, and says what it can't do.
  spawnSync(join(packageRoot(), 'test/lab/setup'), { stdio: 'inherit' });
  for (const program of ['qemu-system-x86_64', 'as', 'objcopy', 'make']) {
    if (!has(program)) throw new Error(`the lab needs ${program}; run test/lab/setup`);
  }
  if (!existsSync('/bin/busybox')) throw new Error('the lab needs a static /bin/busybox; run test/lab/setup');
  const work = mkdtempSync(join(tmpdir(), 'vfiotape-lab-'));
  try {
    const sector = buildPrograms(work);
    const wanted = drivers.filter(
      ({ name }) => options.only.length === 0 || options.only.some((text) => name.includes(text)),
    );
    const results: DriverResult[] = [];
    const missing: { driver: Driver; why: string }[] = [];
    for (const name of ['stock', 'vfio'] satisfies KernelName[]) {
      const list: Driver[] = [];
      for (const driver of wanted.filter(({ kernel }) => kernel === name)) {
        const why = reasonNotToRun(driver);
        if (why === undefined) list.push(driver);
        else missing.push({ driver, why });
      }
      const kernel = findKernel(name);
      if (list.length > 0 && !('missing' in kernel))
        results.push(...(await runGuest(kernel, list, work, sector)));
    }
    for (const { driver, why } of missing) notRun(driver.name, why);
    if (options.write) writeResults(work, results, missing);
  } finally {
    if (options.keep) console.log(`# the guests' files are in ${work}`);
    else rmSync(work, { recursive: true, force: true });
  }
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

await main();
