// SPDX-License-Identifier: Apache-2.0
// Drivers of 2010 that hear by netlink of hot-unplug and suspend, in processes of their own: run, recorded and judged.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileC } from '../compile.js';
import { command, scratchDirectory, vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT } from './simulated.js';

const scratch = scratchDirectory();
const nvme = buildExample('nvme', scratch);
const driver = join(scratch, 'lyon2010_netlink');
compileC(driver, ['test/end-to-end/drivers/lyon2010_netlink.c'], ['-O1', '-Werror']);

const card = join(scratch, 'card.json');
writeFileSync(
  card,
  JSON.stringify({
    ...{ vendor: 0x1234, device: 0x0007, class: 0xff0000, functionLevelReset: true, bars: [{ size: 4096 }] },
    triggers: [
      { bar: 0, offset: 0x20, do: 'take-away' },
      { bar: 0, offset: 0x24, do: 'suspend' },
    ],
  }),
);
const MACHINE = ['--abi', 'lyon2010', '--sim', `generic:${card}`];

const SOCKETS = `port is the process's: 1, 12 bytes
unbound: 0
a port that is taken: 98
half an address: 22
bound: 4711
peer: family 1, port 0
type: 1
a socket: 1
seek: 29
to nobody: 111
family nl80211: 2
unknown command: 95
unknown type: 2
wanting nothing: 22
of no device: 22
full length: 40
cut: 18, said so: 1, from the kernel: 1
gone: 11
read: 1
not a request: 11
a bad address: 14
into a bad address: 14
nowhere: 14 14 14 14
read-only: 14 14
too many pieces: 90 90 90
sent, and not said so: 14
received, and not said so: 14 14 14 14
all gone: 11
quiet: 0
ready: 1
families: 2
timed out: 11
empty: 11
another protocol is the machine's: 1
`;

interface Expected {
  readonly says: string;
  /** Of the simulator, when the driver has ended. */
  readonly note: RegExp;
  /** LYON-002's findings. */
  readonly findings: readonly RegExp[];
}

const MODES: Readonly<Record<string, Expected>> = {
  remove: {
    says: 'heard: 1\nno further opens: 19\nit is there until it is closed: 1\n',
    note: /^vfiotape: 0000:00:04\.0 was taken away: its driver was told \(REMOVE\); let go after \d+/m,
    findings: [],
  },
  deaf: {
    says: 'no further opens: 19\nit is there until it is closed: 1\n',
    note: /^vfiotape: 0000:00:04\.0 was taken away: nobody had asked for REMOVE; let go after \d+/m,
    findings: [/did not register for REMOVE and PM_SUSPEND/],
  },
  child: { says: 'the child heard: 1\n', note: /was told \(REMOVE\)/, findings: [] },
  agree: {
    says: 'heard: 1\nand was woken: 1\n',
    note: /^vfiotape: suspend: the driver of 0000:00:04\.0 agreed$/m,
    findings: [],
  },
  refuse: {
    says: 'heard: 1\nand was woken: 1\n',
    note: /^vfiotape: suspend: not possible: the driver of 0000:00:04\.0 refused$/m,
    findings: [],
  },
  silent: {
    says: 'heard: 1\nand was woken: 1\n',
    note: /^vfiotape: suspend: not possible: the driver of 0000:00:04\.0 did not answer within 5 s$/m,
    findings: [/PM_SUSPEND had no answer within 5 s/],
  },
};

test('sockets of generic netlink: names, options, messages of all kinds, waiting', LIMIT, () => {
  const { status, stdout, stderr } = vfiotape('run', ...MACHINE, '--', driver, 'sockets', BDF);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, SOCKETS);
  const path = join(scratch, 'sockets.vtape');
  const recorded = vfiotape('record', '-o', path, ...MACHINE, '--', driver, 'sockets', BDF);
  assert.equal(recorded.stdout, SOCKETS);
  assert.match(recorded.stderr, /nothing lost\n$/);
  const dump = vfiotape('dump', path).stdout;
  for (const line of [
    /netlink0 +socket AF_NETLINK NETLINK_GENERIC = fd \d+/,
    /netlink0 +send CTRL_CMD_GETFAMILY family=VFIO seq=1/,
    /netlink0 +receive CTRL_CMD_NEWFAMILY family=VFIO id=25 seq=1/,
    /netlink0 +receive NLMSG_ERROR error=EOPNOTSUPP/,
    /netlink0 +peek 28000000/,
    /netlink0 +receive = -1 EAGAIN/,
    /netlink0 +receive NLMSG_DONE/,
  ])
    assert.match(dump, line);
});

for (const [mode, { says, note, findings }] of Object.entries(MODES)) {
  test(
    `a card that is taken away or sleeps, ${mode}: what the driver hears, what is told of it, what is found`,
    LIMIT,
    () => {
      const path = join(scratch, `${mode}.vtape`);
      const { status, stdout, stderr } = vfiotape('record', '-o', path, ...MACHINE, '--', driver, mode, BDF);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, says);
      assert.match(stderr, note);
      const { stdout: json } = vfiotape('check', '--format', 'json', path);
      const report = JSON.parse(json) as { reports: { findings: { rule: string; message: string }[] }[] };
      const found = report.reports.flatMap((one) => one.findings).filter(({ rule }) => rule === 'LYON-002');
      assert.equal(found.length, findings.length);
      for (const [i, expected] of findings.entries()) assert.match(found[i]?.message ?? '', expected);
    },
  );
}

test(
  'options: the example gives its device back, in each dialect; and a driver that is faster',
  LIMIT,
  () => {
    const repeat = ['--repeat', '1000000000', BDF];
    const devices = (options: string, ...machine: readonly string[]) => [
      ...machine,
      '--sim',
      `nvme:${options}`,
    ];
    const ways = [
      [devices('remove-after=1s,suspend-after=200ms', '--abi', 'lyon2010'), ['--lyon2010'], 'REMOVE'],
      [devices('remove-after=300ms'), [], 'the request interrupt'],
      [devices('remove-after=300ms'), ['--cdev'], 'the request interrupt'],
    ] as const;
    for (const [machine, words, told] of ways) {
      const { status, stdout, stderr } = vfiotape('run', ...machine, '--', nvme, ...words, ...repeat);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^the device is to be taken away$/m);
      assert.ok(
        stderr.includes(`${BDF} was taken away: its driver was told (${told}); let go after`),
        stderr,
      );
      if (told === 'REMOVE') assert.match(stderr, /^vfiotape: suspend: the driver of 0000:00:04\.0 agreed$/m);
    }
    const early = vfiotape('run', ...devices('remove-after=10m'), '--', nvme, BDF);
    assert.equal(early.status, 0);
    assert.match(early.stderr, /was to be taken away 10 min 0 s after .* its driver ended before\n$/);
  },
);

test('sysfs: who writes to the device’s file `remove` takes it away', LIMIT, () => {
  const script = `${nvme} --repeat 1000000000 ${BDF} & sleep 1; echo 1 >/sys/bus/pci/devices/${BDF}/remove; wait $!`;
  const { status, stdout, stderr } = vfiotape('run', '--sim', 'nvme', '--', 'sh', '-c', script);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^the device is to be taken away$/m);
  assert.match(stderr, /was taken away: its driver was told \(the request interrupt\)/);
});

test('who waits for a message when the simulator is killed gets an error', LIMIT, async () => {
  const words = ['run', ...MACHINE, '--', 'sh', '-c', `${driver} waits ${BDF} | cat`];
  const child = spawn(process.execPath, [command, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  for await (const piece of child.stdout) {
    said += String(piece);
    if (said === 'waiting\n') child.kill('SIGKILL');
  }
  assert.equal(said, 'waiting\nthe simulator has ended: 5\nsending: 5\n');
});

test('a machine of today has no family VFIO, and its netlink is untouched', LIMIT, () => {
  const { status, stderr } = vfiotape('run', '--sim', 'edu', '--', driver, 'sockets', BDF);
  assert.equal(status, 1);
  assert.match(stderr, /cannot find the family: No such file or directory/);
});
