// SPDX-License-Identifier: Apache-2.0
// `npm run demo`: records an unmodified NVMe driver on a simulated drive, and shows what is seen of it. No root, no card.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { giveUp, root, run, setUp } from './setup.mjs';

setUp();
const out = join(root, 'build/demo');
const command = join(root, 'dist/cli/main.js');
const bdf = '0000:00:04.0';
const driver = join(root, 'build/examples/nvme');
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
if (run('make', ['-s', '-C', 'examples/nvme', `OUT=${join(root, 'build/examples')}`]) !== 0) {
  giveUp('examples/nvme did not build, see above');
}

function heading(text) {
  process.stdout.write(process.stdout.isTTY ? `\n\u001b[1m${text}\u001b[0m\n` : `\n${text}\n`);
}

function quote(word) {
  return /^[\w:/.,=-]+$/.test(word) ? word : `'${word}'`;
}

/** A verb's output, cut to what fits beside the others. */
function show(words, lines) {
  heading(`$ vfiotape ${words.map(quote).join(' ')}`);
  const text = execFileSync(process.execPath, [command, ...words], {
    cwd: out,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const all = text.trimEnd().split('\n');
  const width = process.stdout.columns ?? 170;
  for (const line of all.slice(0, lines)) process.stdout.write(`${line.slice(0, width)}\n`);
  if (all.length > lines) process.stdout.write(`… and ${all.length - lines} more\n`);
}

/** The driver's own output is shown; the demo ends where a driver fails. */
function record(trace, words) {
  const shown = words.map((word) => (word === driver ? relative(out, word) : word));
  heading(`$ vfiotape record -o ${trace} --sim nvme -- ${shown.map(quote).join(' ')}`);
  const { status } = spawnSync(
    process.execPath,
    [command, 'record', '-o', trace, '--sim', 'nvme', '--', ...words],
    {
      cwd: out,
      stdio: 'inherit',
    },
  );
  if (status !== 0) giveUp(`the driver ended with ${status}, see above`);
}

record('nvme.vtape', [driver, '--irq', 'msix', bdf]);
show(['info', 'nvme.vtape'], 9);
show(['dump', '--filter', 'object=device0 & kind!=ioctl & kind!=mmap', 'nvme.vtape'], 8);
show(['dump', '--filter', 'kind=wake', 'nvme.vtape'], 1);
const hasQemu = spawnSync('qemu-img', ['--version'], { stdio: 'ignore' }).status === 0;
if (hasQemu) {
  record('qemu.vtape', ['qemu-img', 'info', `nvme://${bdf}/1`]);
  show(['dump', '--filter', 'object=device0', 'qemu.vtape'], 3);
}
heading('What was done');
process.stdout.write(
  'There was no NVMe drive, no IOMMU and no VFIO: a kernel and a drive written in TypeScript answered, and the drivers are as they are.\n' +
    `${hasQemu ? 'Two drivers were recorded: examples/nvme, and QEMU’s own. ' : 'examples/nvme was recorded; with qemu-img installed, QEMU’s own driver is, too. '}` +
    `The traces are in ${relative('.', out)}.\n` +
    'Can this machine record a driver on real hardware? node dist/cli/main.js doctor\n',
);
