// SPDX-License-Identifier: Apache-2.0
// `npm run test:lab`: real drivers on a real kernel's VFIO, by themselves, recorded, and recorded under strace.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../abi/package-root.js';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import { assembleBootSector } from './boot-sector.js';
import { CorpusReplays } from './corpus-replays.js';
import { type Driver, drivers, newerDrivers } from './drivers.js';
import { traceDevices } from './ground-truth/trace-devices.js';
import { guestScript } from './guest-script.js';
import { findKernel, findNewer, type Kernel } from './kernels.js';
import { boot, lastLines } from './machine.js';
import { type DriverResult, examine } from './results.js';
import { Stepping } from './stepping.js';
import { indent, Tally } from './tally.js';
import { type NotRun, writeResults } from './write-results.js';

const usage = `usage: npm run test:lab -- [--all] [--only TEXT]… [--keep] [--write]
  --all        newer drivers, too, from the next release's packages (500 MB in the cache)
  --only TEXT  the drivers whose name has TEXT in it
  --keep       leave the guests' files (logs, traces) where they are, and say where
  --write      write what was seen to traces/corpus and (without --only) docs/lab-results.md, docs/mmio-ground-truth.md`;

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v "${program}"`]).status === 0;
}

/** What the lab itself can't do without; undefined when it is all there. */
function missingTool(): string | undefined {
  const program = ['qemu-system-x86_64', 'strace', 'as', 'objcopy', 'make'].find((name) => !has(name));
  return program ?? (existsSync('/bin/busybox') ? undefined : 'a static /bin/busybox');
}

/** Drivers that share a guest. */
interface Group {
  readonly name: string;
  readonly kernel: Kernel;
  readonly layer: string | undefined;
  readonly drivers: Driver[];
}

/** Where a driver runs, or why it can't. */
function placeOf(
  driver: Driver,
): { readonly kernel: Kernel; readonly layer: string | undefined } | { readonly missing: string } {
  const kernel = findKernel(driver.kernel);
  if ('missing' in kernel) return kernel;
  const layer = driver.newer === true ? findNewer() : undefined;
  if (typeof layer === 'object') return layer;
  const program = driver.command[0] ?? '';
  const there = layer === undefined ? has(program) : existsSync(join(layer, 'usr/bin', program));
  return program.startsWith('$') || there
    ? { kernel, layer }
    : { missing: `there is no ${program}; test/lab/setup installs it` };
}

function groupDrivers(wanted: readonly Driver[]): { readonly groups: Group[]; readonly notRun: NotRun[] } {
  const groups = new Map<string, Group>();
  const notRun: NotRun[] = [];
  for (const driver of wanted) {
    const place = placeOf(driver);
    if ('missing' in place) {
      notRun.push({ driver, why: place.missing });
      continue;
    }
    const name = `${driver.kernel}${driver.newer === true ? '-newer' : ''}`;
    const group = groups.get(name) ?? { name, ...place, drivers: [] };
    group.drivers.push(driver);
    groups.set(name, group);
  }
  return { groups: [...groups.values()], notRun };
}

/** The programs of examples/, and the boot sector of the disks. */
function buildPrograms(directory: string): Uint8Array {
  const root = packageRoot();
  for (const example of ['edu', 'nvme']) {
    const place = join(root, 'examples', example);
    execFileSync('make', ['-s', '-C', place, `OUT=${join(root, 'build/examples')}`], { stdio: 'inherit' });
  }
  mkdirSync(join(root, 'build/lab'), { recursive: true });
  compileC(join(root, 'build/lab/refused'), ['test/lab/guest/refused.c', ...EXAMPLE_VFIO]);
  return assembleBootSector(directory);
}

async function runGuest(
  group: Group,
  directory: string,
  bootSector: Uint8Array,
  tally: Tally,
): Promise<DriverResult[]> {
  const { name, kernel, layer, drivers: list } = group;
  mkdirSync(directory);
  console.log(`# guest ${name}, ${kernel.title}: ${list.map((driver) => driver.name).join(', ')}`);
  const tracing = traceDevices(directory);
  const stepping = name === 'stock' ? new Stepping(directory) : undefined;
  const hasEdu = list.some(({ device }) => device === 'edu');
  const replays = hasEdu ? await CorpusReplays.make(kernel.name, join(directory, 'out')) : undefined;
  const { trouble, seconds, serialLog, out } = await boot({
    kernel,
    layer,
    devices: [...new Set(list.map(({ device }) => device))],
    script: guestScript(list) + (replays?.script ?? '') + (stepping?.script ?? ''),
    directory,
    bootSector,
    qemu: tracing.qemu,
    // A job says when it ends, and is stopped some time after its own.
    quietSeconds: 240 + Math.max(...list.map((driver) => driver.seconds)),
  });
  console.log(`# ${seconds.toFixed(0)} s`);
  tally.check(
    `guest ${name} boots, runs its drivers and powers off`,
    trouble === undefined ? '' : `${trouble}\n${lastLines(join(directory, 'qemu.log'))}`,
  );
  if (stepping !== undefined) {
    tally.check('a page is opened by a protection key for one thread', stepping.trouble(out));
    stepping.remove();
  }
  replays?.check(out, tally);
  const deviceLog = await tracing.log();
  const results = list.map((driver, index) => examine(out, driver, { log: deviceLog, run: index }));
  for (const { driver, checks } of results) {
    for (const check of checks) tally.check(`${driver.name} ${check.name}`, check.trouble);
  }
  if (trouble !== undefined || results.some(({ checks }) => checks.some((check) => check.trouble !== ''))) {
    console.log(`# the end of the guest's serial log:\n${indent(lastLines(serialLog))}`);
  }
  return results;
}

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      all: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      keep: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help) {
    console.log(usage);
    return 0;
  }
  // They do only what is missing, and say what they can't do.
  spawnSync(join(packageRoot(), 'test/lab/setup'), { stdio: 'inherit' });
  if (options.all) spawnSync(join(packageRoot(), 'test/lab/setup-newer'), { stdio: 'inherit' });
  const tool = missingTool();
  if (tool !== undefined) {
    console.error(`vfiotape: test:lab: there is no ${tool}; test/lab/setup says how to get it`);
    return 2;
  }
  const wanted = [...drivers, ...(options.all ? newerDrivers : [])].filter(
    ({ name }) => options.only.length === 0 || options.only.some((text) => name.includes(text)),
  );
  const { groups, notRun } = groupDrivers(wanted);
  const tally = new Tally();
  const work = mkdtempSync(join(tmpdir(), 'vfiotape-lab-'));
  try {
    const sector = buildPrograms(work);
    const results: DriverResult[] = [];
    for (const group of groups) {
      results.push(...(await runGuest(group, join(work, group.name), sector, tally)));
    }
    for (const { driver, why } of notRun) tally.notRun(driver.name, why);
    if (options.write) writeResults(results, notRun, options.only.length === 0);
  } finally {
    if (options.keep) console.log(`# the guests' files are in ${work}`);
    else rmSync(work, { recursive: true, force: true });
  }
  return tally.close();
}

process.exitCode = await main();
