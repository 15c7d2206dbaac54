// SPDX-License-Identifier: Apache-2.0
import { straceOptions } from './compare/strace-log.js';
import type { Dialogue, Driver } from './drivers.js';
import { markValue } from './ground-truth/device-log.js';
import { devices } from './machine.js';

/**
 * The three ways in which a driver is run in one guest: by itself; recorded; and recorded while strace watches it. In the last
 * one strace is the recorder's child and the driver's tracer, so that the recorder is not slowed and not in the log.
 */
export const runs = ['plain', 'recorded', 'observed'] as const;
export type Run = (typeof runs)[number];

/** The name of a driver's files in /out; `kind` is a run, or what else is kept of it. */
export function fileName(driver: Driver, kind: Run | 'replayed' | 'version'): string {
  return `${driver.name.replaceAll('/', '-')}.${kind}`;
}

function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Where guest/init puts the package. */
export const guestRoot = '/opt/vfiotape';

/** The words of a driver's command in the guest. */
function driverCommand(driver: Driver): readonly string[] {
  return driver.command.map((word) => word.replace('$build', `${guestRoot}/build`));
}

/** What the guest runs for these drivers, one after the other, each in each way. */
export function guestScript(drivers: readonly Driver[]): string {
  const wanted = new Set(drivers.map(({ device }) => device));
  const lines = [`. ${guestRoot}/test/lab/guest/lib.sh`, 'cd /tmp'];
  if (wanted.has('nvme')) lines.push(`prepare_nvme ${devices.nvme.bdfs[0]}`);
  const bdfs = [...wanted].flatMap((device) => devices[device].bdfs).join(' ');
  lines.push(`bind_vfio ${bdfs}`, `resources ${bdfs}`);
  for (const [index, driver] of drivers.entries()) {
    const mark = (end: boolean): string => `mark ${markValue(index, end)}`;
    lines.push(`hugepages ${driver.hugepages ?? 0}`);
    for (const run of runs) {
      const ran = runLines(driver, run);
      lines.push(...(run === 'recorded' ? [mark(false), ...ran, mark(true)] : ran));
    }
    if (driver.replay !== undefined) lines.push(...replayLines(driver, driver.replay));
    lines.push(`job ${fileName(driver, 'version')} 120 ${driver.version.map(quote).join(' ')}`);
  }
  return `${lines.join('\n')}\n`;
}

function runLines(driver: Driver, run: Run): readonly string[] {
  const name = fileName(driver, run);
  const trace = `/tmp/${name}.vtape`;
  const log = `/tmp/${name}.strace`;
  const record = (...options: string[]): string[] => [
    process.execPath,
    `${guestRoot}/dist/cli/main.js`,
    'record',
    '-o',
    trace,
    ...options,
    '--',
  ];
  const prefix: readonly string[] = {
    plain: [],
    recorded: record(...(driver.played !== undefined ? ['--dma', 'content'] : [])),
    // With --mmio off the driver's mmap is the one that reaches the kernel, and the only one.
    observed: [...record('--mmio', 'off'), 'strace', ...straceOptions, '-o', log],
  }[run];
  const job = `job ${name} ${driver.seconds} ${[...prefix, ...driverCommand(driver)].map(quote).join(' ')}`;
  const { dialogue } = driver;
  const lines = dialogue === undefined ? [job] : [`${dialogueCommand(name, dialogue)} | ${job}`];
  // Written to memory first: /out is not cached, and strace writes line by line.
  if (run === 'recorded') lines.push(`keep ${trace}`);
  if (run === 'observed') lines.push(`keep ${trace} ${log}`);
  return lines;
}

/** The recording, reissued on the device that it is of, and recorded. */
function replayLines(driver: Driver, options: readonly string[]): readonly string[] {
  const name = fileName(driver, 'replayed');
  const trace = `/tmp/${name}.vtape`;
  const vfiotape = [process.execPath, `${guestRoot}/dist/cli/main.js`];
  const on = `hardware:${devices[driver.device].bdfs[0]}`;
  const recording = `/out/${fileName(driver, 'recorded')}.vtape`;
  const replay = [...vfiotape, 'replay', '--on', on, '--allow-dma', '--json', ...options, recording];
  const words = [...vfiotape, 'record', '-o', trace, '--', ...replay];
  return [`job ${name} ${driver.seconds} ${words.map(quote).join(' ')}`, `keep ${trace}`];
}

function dialogueCommand(name: string, steps: Dialogue): string {
  const script = `${guestRoot}/test/lab/guest/dialogue`;
  return [script, `/out/${name}.status`, ...steps.map(String)].map(quote).join(' ');
}
