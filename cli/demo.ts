// SPDX-License-Identifier: Apache-2.0
/** The whole story on this machine, by the other verbs: no hardware, no IOMMU, no root. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../abi/package-root.js';
import { UserError } from '../abi/user-error.js';
import { ExitStatus } from './exit-status.js';
import { print } from './output.js';
import { defineVerb } from './verb.js';

const BDF = '0000:00:04.0';
const RECORD = ['record', '--sim', 'nvme', '-o'] as const;
/** Lines are cut to what a terminal shows; this where there is none. */
const WIDTH = 170;
const MOST_OUTPUT = 1 << 28;

export const verb = defineVerb({
  usage: 'demo [-o DIR]',
  summary:
    'The whole story on this machine, with no hardware: a real driver is recorded on a simulated NVMe drive, and the recording looked at, checked, replayed, played back and reported.',
  operands: { least: 0, most: 0 },
  options: {
    output: {
      alias: 'o',
      type: 'string',
      default: 'vfiotape-demo',
      describe: 'the directory for the driver and the traces',
    },
  },
  async run({ output }) {
    try {
      mkdirSync(output, { recursive: true });
    } catch (error) {
      throw new UserError(`demo: ${output} can't be made: ${(error as Error).message}`);
    }
    const driver = buildDriver(output);
    const show = (words: readonly string[], lines: number) => showVerb(output, words, lines);
    const example = [driver, '--irq', 'msix', BDF];
    await runVerb(output, [...RECORD, 'nvme.vtape', '--dma', 'content', '--', ...example]);
    await show(['info', 'nvme.vtape'], 7);
    await show(['dump', '--filter', 'object=device0 & kind!=ioctl & kind!=mmap', 'nvme.vtape'], 5);
    await show(['dump', '--filter', 'kind=wake', 'nvme.vtape'], 1);
    await show(['check', 'nvme.vtape'], 4);
    await show(['replay', '--on', 'sim:nvme', 'nvme.vtape'], 2);
    await runVerb(output, ['play', 'nvme.vtape', '--', ...example]);
    await show(['report', '-o', 'report.html', 'nvme.vtape'], 1);
    const hasQemu = spawnSync('qemu-img', ['--version'], { stdio: 'ignore' }).status === 0;
    if (hasQemu) {
      await runVerb(output, [...RECORD, 'qemu.vtape', '--', 'qemu-img', 'info', `nvme://${BDF}/1`]);
      await show(['check', 'qemu.vtape'], 11);
    }
    await heading('What was done');
    await print(
      'There was no NVMe drive, no IOMMU and no VFIO: a kernel and a drive written in TypeScript answered, and the drivers are as they are.\n' +
        `${hasQemu ? 'Two drivers were recorded: examples/nvme, and QEMU’s own. ' : 'examples/nvme was recorded; with qemu-img installed, QEMU’s own driver is, too. '}` +
        'Then the first was played its own recording: no drive, not even a simulated one.\n' +
        `The traces and report.html are in ${output}.\n` +
        'Can this machine record a driver on real hardware? vfiotape doctor\n',
    );
    return ExitStatus.OK;
  },
});

function buildDriver(output: string): string {
  const directory = join(packageRoot(), 'examples/nvme');
  const make = ['-s', '-C', directory, `OUT=${join(process.cwd(), relative('', output))}`];
  const { error, status, stderr } = spawnSync('make', make, { encoding: 'utf8' });
  if (error !== undefined)
    throw new UserError(`demo: the driver is built by make, which can't be run: ${error.message}`);
  if (status !== 0)
    throw new UserError(
      `demo: ${directory} did not build: ${stderr.trim().split('\n')[0] ?? ''}; it needs a C compiler and make`,
    );
  return './nvme';
}

async function heading(text: string): Promise<void> {
  await print(process.stdout.isTTY ? `\n\u001b[1m${text}\u001b[0m\n` : `\n${text}\n`);
}

function vfiotape(output: string, words: readonly string[], stdout: 'inherit' | 'pipe') {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  return spawnSync(process.execPath, [main, ...words], {
    cwd: output,
    encoding: 'utf8',
    maxBuffer: MOST_OUTPUT,
    stdio: ['ignore', stdout, 'inherit'],
  });
}

function commandLine(words: readonly string[]): string {
  return `$ vfiotape ${words.map((word) => (/^[\w:/.,=-]+$/.test(word) ? word : `'${word}'`)).join(' ')}`;
}

/** One whose output is the driver's own; the demo ends where a driver fails. */
async function runVerb(output: string, words: readonly string[]): Promise<void> {
  await heading(commandLine(words));
  const { status, signal } = vfiotape(output, words, 'inherit');
  if (status !== 0)
    throw new UserError(`demo: the driver ended with ${signal ?? `status ${status}`}, see above`);
}

/** Its output, cut to what fits beside the others. */
async function showVerb(output: string, words: readonly string[], lines: number): Promise<void> {
  await heading(commandLine(words));
  const { status, stdout, signal } = vfiotape(output, words, 'pipe');
  if (status !== ExitStatus.OK && status !== ExitStatus.FINDINGS)
    throw new UserError(`demo: vfiotape ${words[0]} ended with ${signal ?? `status ${status}`}, see above`);
  if (stdout === '') return;
  const all = stdout.trimEnd().split('\n');
  const width = process.stdout.columns ?? WIDTH;
  for (const line of all.slice(0, lines)) await print(`${line.slice(0, width)}\n`);
  if (all.length > lines) await print(`… and ${all.length - lines} more\n`);
}
