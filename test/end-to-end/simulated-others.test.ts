// SPDX-License-Identifier: Apache-2.0
// DPDK on simulated machines: it starts as far as its device exists, and misses a card as it would without one. And what
// looks for devices by sysfs.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Outcome, run, vfiotape } from './harness.js';
import { asUser, BDF, LIMIT, missing, noOrdinaryUser, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const prefix = `vfiotape${process.pid}`;
// Its runtime directory, whatever it is told to keep there.
after(() => {
  for (const place of ['/var/run/dpdk', '/tmp/dpdk'])
    rmSync(join(place, prefix), { recursive: true, force: true });
});
const skip = missing('dpdk-testpmd', '--help');

/** Two lcores on whatever processor there is; no huge pages, no files; its prompt finds the end of its input. */
function testpmd(megabytes: number): readonly string[] {
  const environment = [
    '--lcores',
    '0@0,1@0',
    '--no-huge',
    '-m',
    String(megabytes),
    '--no-shconf',
    '--no-telemetry',
  ];
  return ['dpdk-testpmd', ...environment, '--file-prefix', prefix, '--', '-i', '--total-num-mbufs=2048'];
}

/** What it says of devices, without what depends on the machine. */
function ofDevices({ stdout, stderr }: Outcome): string[] {
  return `${stdout}${stderr}`
    .split('\n')
    .filter((line) => /VFIO|probed|Probe|Requested|vfio|IOMMU/.test(line));
}

test('without a card that it knows, testpmd starts and finds none', { ...LIMIT, skip }, () => {
  const seen = ['nvme', 'edu'].map((device) => {
    const outcome = vfiotape('run', '--sim', device, '--', ...testpmd(64));
    assert.equal(outcome.status, 0, outcome.stderr);
    return ofDevices(outcome);
  });
  assert.deepEqual(seen[0], ['EAL: VFIO support initialized', 'testpmd: No probed ethernet devices']);
  assert.deepEqual(seen[1], seen[0]);
  // The same program, told to look at no PCI device at all: it ends alike.
  const [program = '', ...words] = testpmd(64);
  const bare = run(program, ['--no-pci', ...words]);
  assert.equal(bare.status, 0, bare.stderr);
});

/** As Intel's 82574L, whose registers nobody answers for. */
const CARD = {
  vendor: '0x8086',
  device: '0x10d3',
  class: '0x020000',
  interruptPin: 1,
  bars: [{ size: 131072 }, { size: 131072 }, { size: 32, kind: 'io' }, { size: 16384 }],
  msix: { bar: 3, vectors: 5, table: 0, pba: '0x2000' },
  express: true,
};

test('a card that it knows is probed: opened, mapped, and given up when it doesn’t answer', {
  ...LIMIT,
  skip,
}, () => {
  const card = join(scratch, 'card.json');
  writeFileSync(card, JSON.stringify(CARD));
  const trace = join(scratch, 'testpmd.vtape');
  const outcome = vfiotape('record', '-o', trace, '--sim', `generic:${card}`, '--', ...testpmd(64));
  assert.equal(outcome.status, 0, outcome.stderr);
  const lines = ofDevices(outcome).join('\n');
  assert.match(lines, /Using IOMMU type 1 \(Type 1\)/);
  assert.match(lines, new RegExp(`Probe PCI driver: net_e1000_em \\(8086:10d3\\) device: ${BDF}`));
  assert.match(lines, new RegExp(`Requested device ${BDF} cannot be used`));
  assert.match(outcome.stderr, /nothing lost/);
  const dump = vfiotape('dump', '--filter', 'kind=load', trace);
  assert.ok(dump.stdout.split('\n').length > 10, 'it asked the registers');

  if (noOrdinaryUser !== false) return;
  // An ordinary user, whose locked memory is limited, gets from the IOMMU what its limit allows.
  const user = asUser(
    ['run', '--sim', `generic:${card}`, '--', 'sh', '-c', `ulimit -l 1024; exec ${testpmd(6).join(' ')}`],
    {
      cwd: scratch,
    },
  );
  assert.match(user.stdout + user.stderr, /DMA remapping failed, error 12 \(Cannot allocate memory\)/);
});

test('lspci, setpci and the like see the simulated machine, and only that', {
  ...LIMIT,
  skip: missing('lspci'),
}, () => {
  const see = (...words: string[]): string => {
    const { status, stdout, stderr } = vfiotape(
      'run',
      '--sim',
      'nvme',
      '--sim',
      'edu:bdf=0000:01:00.0',
      '--',
      ...words,
    );
    assert.equal(status, 0, stderr);
    return stdout;
  };
  assert.equal(see('lspci', '-n'), '00:04.0 0108: 1b36:0010 (rev 02)\n01:00.0 00ff: 1234:11e8 (rev 10)\n');
  assert.match(see('lspci', '-k', '-s', BDF), /Kernel driver in use: vfio-pci/);
  const look = `cd /sys/bus/pci/devices; echo *; cat 0000:01:00.0/vendor; stat -c '%F %t:%T' /dev/vfio/1; readlink ${BDF}/iommu_group`;
  assert.equal(
    see('sh', '-c', look),
    `${BDF} 0000:01:00.0\n0x1234\ncharacter special file 1ff:1\n../../../kernel/iommu_groups/1\n`,
  );
});
