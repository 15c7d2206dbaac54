// SPDX-License-Identifier: Apache-2.0
// What users get wrong with `run` and `--sim`: one line, exit status 2, and no driver is started.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory, vfiotape } from './harness.js';
import { LIMIT } from './simulated.js';

const scratch = scratchDirectory();
const witness = join(scratch, 'witness');
const DRIVER = ['--', 'touch', witness];

/** Options that both verbs take. */
const SIMULATION: readonly (readonly [readonly string[], RegExp])[] = [
  [
    ['--sim', 'nvm'],
    /--sim nvm: no such device; there are nvme, edu, generic:FILE, vfio-user:SOCKET and TRACE\.vtape/,
  ],
  [['--sim='], /--sim '': no such device/],
  [['--sim', 'nvme', '--sim', 'ed'], /--sim ed: no such device/],
  [['--sim', 'nvme:size=1'], /1 is too small; at least 1 MiB/],
  [['--sim', 'nvme:file=/nonexistent'], /cannot open '\/nonexistent'/],
  [['--sim', 'generic:/nonexistent'], /cannot read \/nonexistent/],
  [['--sim', 'edu:bdf=4'], /'4' is no PCI address like 0000:00:04\.0/],
  [
    ['--sim', 'edu:bdf=0000:00:05.0', '--sim', 'nvme:bdf=0000:00:05.0'],
    /two simulated devices have the same PCI address/,
  ],
  [['--sim', join(scratch, 'a.vtape')], /--sim .*a\.vtape: can't be opened/],
  [['--sim', `${join(scratch, 'a.vtape')}:size=1M`], /'size=1M' is not understood; known are device=, bdf=/],
  [['--sim', 'vfio-user:'], /--sim vfio-user:: name the socket of the server/],
  [
    ['--sim', 'vfio-user:/nonexistent/socket'],
    /vfio-user:\/nonexistent\/socket: nobody can be reached there: ENOENT/,
  ],
  [['--sim', 'nvme', '--sim-kernel', 'version=2.6'], /'version=2\.6' should be one of 6\.12, 6\.1/],
  [['--sim', 'nvme', '--sim-kernel', 'iommu=arm'], /'iommu=arm' should be one of intel, amd, virtio, none/],
  [['--sim', 'nvme', '--sim-kernel', 'colour=red'], /unknown 'colour=red'; known are version, iommu/],
  [['--sim', 'nvme', '--sim-kernel', 'iommu=none'], /without an IOMMU, VFIO needs noiommu=on/],
  [['--sim', 'nvme', '--sim-kernel', 'noiommu=maybe'], /'noiommu=maybe' should be one of on, off/],
  [['--sim', 'nvme', '--sim-kernel', '6.1', '--sim-kernel', '6.1'], /--sim-kernel is given 2 times/],
  [['--sim-kernel', 'version=6.1'], /--sim-kernel goes with --sim/],
  [['--abi', 'lyon2010'], /--abi goes with --sim/],
  [['--sim', 'nvme', '--abi', 'lyon2010', '--sim-kernel', 'version=6.1'], /lyon2010 has its own version/],
  [
    ['--sim', 'nvme', '--abi', 'modren'],
    /--abi modren: no such interface; there are modern, .* and lyon2010/,
  ],
  [['--simm', 'nvme'], /unknown argument: simm/],
];

const RUN: readonly (readonly [readonly string[], RegExp])[] = [
  [['run'], /run: too few arguments; usage: vfiotape run --sim DEVICE/],
  [['run', '--sim', 'nvme'], /run: too few arguments/],
  [['run', '--sim'], /run: not enough arguments following: sim/],
  [['run', ...DRIVER], /run: name a device: --sim nvme/],
  [
    ['run', '--sim', 'nvme', '--', 'vfiotape-no-such-driver'],
    /no driver named 'vfiotape-no-such-driver' in PATH/,
  ],
  [['run', '--sim', 'nvme', '--', '/nonexistent/driver'], /\/nonexistent\/driver/],
  [['run', '--sim', 'nvme', '--', scratch], /is a directory/],
  [['run', '--sim', 'nvme', '-o', 'trace.vtape', ...DRIVER], /unknown argument: o/],
  [['run', '--sim', 'nvme', '--mmio', 'off', ...DRIVER], /unknown argument: mmio/],
];

const ALL = [
  ...SIMULATION.map(([words, says]) => [['run', ...words, ...DRIVER], says] as const),
  // The same code reads them for `record`.
  ...SIMULATION.filter((_, i) => i % 6 === 0).map(
    ([words, says]) => [['record', '-o', join(scratch, 'out.vtape'), ...words, ...DRIVER], says] as const,
  ),
  ...RUN,
];

for (const [words, says] of ALL) {
  test(`vfiotape ${words.join(' ').replaceAll(scratch, 'SCRATCH')}`, LIMIT, () => {
    const { status, stdout, stderr } = vfiotape(...words);
    assert.match(stderr, /^vfiotape: [^\n]+\n$/, `not one line: ${stderr}`);
    assert.match(stderr, says);
    assert.equal(stdout, '');
    assert.equal(status, 2);
    assert.ok(!existsSync(witness), 'the driver was started');
    assert.ok(!existsSync(join(scratch, 'out.vtape')), 'a trace of nothing was left');
  });
}

test('--abi modern is what there is', LIMIT, () => {
  assert.equal(vfiotape('run', '--sim', 'edu', '--abi', 'modern', '--', 'true').status, 0);
});
