// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { guestRoot } from './guest-script.js';
import { findKernel } from './kernels.js';
import { boot, devices, lastLines } from './machine.js';

// What the tool is for, on one screen: QEMU's userspace NVMe driver, as its distribution ships it, at work on an emulated
// controller behind an emulated IOMMU, on a real kernel's VFIO; recorded there and read here.

const root = packageRoot();
const directory = join(root, 'build/demo');
const trace = 'demo.vtape';
const command = join(root, 'dist/cli/main.js');
const bdf = devices.nvme.bdfs[0];
const driver = ['qemu-io', '-f', 'raw', '-c', 'read 0 64k', `nvme://${bdf}/1`];

function quote(word: string): string {
  return /^[\w:/.,=-]+$/.test(word) ? word : `'${word}'`;
}

const quoted = driver.map(quote).join(' ');
const script = `
. ${guestRoot}/test/lab/guest/lib.sh
prepare_nvme ${bdf}
bind_vfio ${bdf}
'${process.execPath}' ${guestRoot}/dist/cli/main.js record -o /out/${trace} -- ${quoted} >/out/driver.out 2>/out/driver.err
echo $? >/out/driver.status
exit 0
`;

function fail(message: string, log: string): never {
  process.stderr.write(`vfiotape: demo: ${message}; the end of ${log}:\n${lastLines(log, 20)}\n`);
  process.exit(1);
}

function heading(text: string): void {
  process.stdout.write(process.stdout.isTTY ? `\n\u001b[1m${text}\u001b[0m\n` : `\n${text}\n`);
}

/** A verb's output, cut to what fits beside the others. */
function show(words: readonly string[], lines: number): void {
  heading(`$ vfiotape ${words.map(quote).join(' ')}`);
  const output = execFileSync(process.execPath, [command, ...words], {
    cwd: out,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const all = output.trimEnd().split('\n');
  const width = process.stdout.columns ?? 170;
  for (const line of all.slice(0, lines)) process.stdout.write(`${line.slice(0, width)}\n`);
  if (all.length > lines) process.stdout.write(`… and ${all.length - lines} more\n`);
}

const kernel = findKernel('stock');
if ('missing' in kernel) {
  process.stderr.write(`vfiotape: demo: ${kernel.missing}\n`);
  process.exit(2);
}
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
const { trouble, seconds, serialLog, out } = await boot({
  kernel,
  devices: ['nvme'],
  script,
  directory,
  bootSector: new Uint8Array(512),
  quietSeconds: 240,
});
if (trouble !== undefined) fail(trouble, serialLog);
if (readFileSync(join(out, 'driver.status'), 'utf8').trim() !== '0') {
  fail('the driver failed', join(out, 'driver.err'));
}

heading('What was done');
process.stdout.write(
  `Booted ${kernel.title} in QEMU (${seconds.toFixed(0)} s in all): an NVMe drive, bound to vfio-pci, behind an IOMMU. There, unchanged:\n` +
    `$ vfiotape record -o ${trace} -- ${quoted}\n` +
    `${readFileSync(join(out, 'driver.out'), 'utf8').trimEnd()}\n`,
);
show(['info', trace], 21);
show(['dump', '--filter', 'object=device0 & kind!=ioctl', trace], 16);
show(['dump', '--filter', 'result<0', trace], 6);
heading('Next');
process.stdout.write(
  `The trace: ${relative('.', join(out, trace))}; read on with: node dist/cli/main.js dump ${relative('.', join(out, trace))} | less\n` +
    'Can this machine record a driver of its own? node dist/cli/main.js doctor\n',
);
