// SPDX-License-Identifier: Apache-2.0
// Threads, processes and deaths on a simulated machine: of drivers, which leave it clean, and of the simulator.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { command, sessionsOf, vfiotape } from './harness.js';
import {
  asUser,
  BDF,
  buildExample,
  buildSimulated,
  LIMIT,
  missing,
  NAMESPACE,
  noOrdinaryUser,
  sharedScratch,
} from './simulated.js';

const scratch = sharedScratch();
const driver = buildSimulated(scratch);
const nvme = buildExample('nvme', scratch);
const edu = buildExample('edu', scratch);
let traces = 0;
const newTrace = (): string => join(scratch, `${traces++}.vtape`);

const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

const SHARING = {
  threads: 'threads ask at the same time',
  forks: 'parent and children use one device',
  orphan: 'a child goes on when its parent has ended, with its interrupts',
  full: 'a driver without a free descriptor still makes its calls',
} as const;

for (const [mode, title] of Object.entries(SHARING)) {
  test(title, LIMIT, () => {
    const { status, stdout, stderr } = vfiotape('run', '--sim', 'edu', '--', driver, mode, BDF);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '');
    assert.equal(stdout, mode === 'orphan' ? 'orphan: done\n' : '');
    const words = ['record', '-o', newTrace(), '--sim', 'edu', '--', driver, mode, BDF];
    const recorded = vfiotape(...words);
    assert.equal(recorded.status, 0, recorded.stderr);
    // Without descriptors a thread gets no buffer either, which is counted.
    if (mode !== 'full') assert.match(recorded.stderr, /nothing lost/);
  });
}

test('threads and forks of an ordinary user', LIMIT, () => {
  for (const mode of ['threads', 'forks', 'orphan']) {
    const { status, stderr } = asUser(['run', '--sim', 'edu', '--', driver, mode, BDF], { cwd: scratch });
    assert.equal(status, 0, stderr);
  }
});

test('a driver that hides its memory from its user is refused, and the user told why', {
  ...LIMIT,
  skip: noOrdinaryUser,
}, () => {
  const words = ['run', '--sim', 'edu', '--', driver, 'hidden', BDF];
  const { status, stderr } = asUser(words, { cwd: scratch });
  assert.equal(status, 1, stderr);
  assert.match(stderr, /Operation not permitted$/m);
  assert.match(stderr, /^vfiotape: the driver's memory could not be reached \(EACCES/m);
  // Root may look all the same.
  if (process.geteuid?.() === 0) assert.equal(vfiotape(...words).status, 0);
});

test('two drivers at once: each on its own device; of one device, the second is refused', LIMIT, () => {
  const both = `'${nvme}' --irq msix ${BDF} & '${nvme}' --cdev 0000:00:05.0 || exit 8; wait $! `;
  const outcome = vfiotape('run', '--sim', 'nvme', '--sim', 'nvme', '--', 'sh', '-c', both);
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.equal(outcome.stdout.match(/^data: 16384 bytes/gm)?.length, 2);
  // The first one is stopped while it has the device.
  const second = `'${driver}' wait ${BDF} > '${scratch}/first' & first=$!
    until grep -q waiting '${scratch}/first'; do sleep 0.02; done
    '${edu}' ${BDF}; echo "second: $?"; kill -9 $first; wait $first; '${edu}' ${BDF} >/dev/null; echo "third: $?"`;
  const { stdout, stderr } = vfiotape('run', '--sim', 'edu', '--', 'sh', '-c', second);
  assert.match(stdout, /^second: 1\nthird: 0\n$/, stderr);
  assert.match(stderr, /^edu: cannot .*: Device or resource busy$/m);
});

test('two QEMUs at once, with one drive each', { ...LIMIT, skip: missing('qemu-img') }, () => {
  const bench = (drive: string): string => `qemu-img bench -c 200 -d 8 -f raw nvme://${drive}/1`;
  const both = `${bench(BDF)} & ${bench('0000:00:05.0')} || exit 8; wait $!`;
  const { status, stdout, stderr } = vfiotape(
    'run',
    '--sim',
    'nvme',
    '--sim',
    'nvme',
    '--',
    'sh',
    '-c',
    both,
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout.match(/Run completed/g)?.length, 2);
});

test('drivers killed at any moment leave the machine to the next one', LIMIT, () => {
  const next = `'${nvme}' ${BDF} >/dev/null && '${nvme}' --cdev ${BDF} >/dev/null && '${edu}' 0000:00:05.0 >/dev/null`;
  const victims = [
    `exec '${nvme}' --irq msix ${BDF} >/dev/null`,
    `exec '${nvme}' --cdev --irq msix ${BDF} >/dev/null`,
    `exec '${edu}' 0000:00:05.0 >/dev/null`,
    `exec '${driver}' forks 0000:00:05.0`,
  ];
  if (missing('qemu-img') === false)
    victims.push(`exec qemu-img bench -c 5000 -d 8 -f raw ${NAMESPACE} >/dev/null`);
  const seed = process.env['VFIOTAPE_FUZZ_SEED'] ?? '20100608';
  const machine = ['--sim', 'nvme', '--sim', 'edu'];
  const killer = [driver, 'killer', seed, '30', '60000', next, ...victims];
  const { status, stdout, stderr } = vfiotape('run', ...machine, '--', ...killer);
  assert.equal(status, 0, stderr);
  const killed = Number(/^killed (\d+) of 30$/m.exec(stdout)?.[1]);
  // How far each came depends on the machine; that none was ever caught would be no test.
  assert.ok(killed > 0, stdout);
  // What a device did for a process that is no more can't be done; nothing else is to be said.
  for (const line of stderr.split('\n').filter((one) => one !== ''))
    assert.match(line, /^vfiotape: (IOMMU fault: .*: memory is gone|\d+ IOMMU faults in all)$/);
});

test('the exit status of a driver that was killed is 128 and its signal', LIMIT, () => {
  for (const verb of [['run'], ['record', '-o', newTrace()]]) {
    const { status, stderr } = vfiotape(...verb, '--sim', 'nvme', '--', 'sh', '-c', 'kill -9 $$');
    assert.equal(status, 128 + 9, stderr);
    const other = vfiotape(...verb, '--sim', 'nvme', '--', 'sh', '-c', 'exit 42');
    assert.equal(other.status, 42, other.stderr);
  }
});

interface Started {
  readonly child: ChildProcess;
  readonly text: { out: string; err: string };
  /** All that have its output have ended. */
  readonly ended: Promise<void>;
}

function start(...words: readonly string[]): Started {
  const child = spawn(process.execPath, [command, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.out += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.err += piece;
  });
  return { child, text, ended: new Promise((resolve) => child.once('close', () => resolve())) };
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await sleep(10);
}

for (const verb of ['run', 'record']) {
  test(`${verb}: a simulator that is killed gives its driver errors, and wakes it`, LIMIT, async () => {
    const trace = newTrace();
    const words = verb === 'run' ? [verb] : [verb, '-o', trace];
    const { child, text, ended } = start(...words, '--sim', 'edu', '--', driver, 'wait', BDF);
    await until(() => text.out.includes('waiting'));
    child.kill('SIGKILL');
    await ended;
    assert.match(text.out, /^gone$/m, text.err);
    assert.equal(text.err.match(/^vfiotape: the simulator has ended$/gm)?.length, 1, text.err);
    if (verb === 'run') return;
    const [session = ''] = sessionsOf(trace);
    const recovered = vfiotape('recover', session);
    assert.equal(recovered.status, 0, recovered.stderr);
    assert.match(recovered.stdout, /[\d,]+ events/);
  });
}

test('a driver at work when its simulator is killed ends by itself', LIMIT, async () => {
  const loop = `while '${nvme}' --irq msix ${BDF} >/dev/null; do echo round; done`;
  const { child, text, ended } = start('run', '--sim', 'nvme', '--', 'sh', '-c', loop);
  await until(() => text.out.includes('round'));
  child.kill('SIGKILL');
  await ended;
  assert.match(text.err, /^nvme: /m);
});

test('signals reach the driver, and nothing of the machine is left', LIMIT, async () => {
  const { child, text, ended } = start('run', '--sim', 'edu', '--', driver, 'wait', BDF);
  await until(() => text.out.includes('waiting'));
  child.kill('SIGTERM');
  await ended;
  assert.equal(child.exitCode, 128 + 15);
  assert.equal(text.err, '');
});

test('a machine that has ended leaves no directory', LIMIT, () => {
  const shown = vfiotape('run', '--sim', 'edu', '--', 'sh', '-c', 'echo $VFIOTAPE_SIM');
  const directory = shown.stdout.trim();
  assert.match(directory, /\/vfiotape-sim-\w+$/);
  assert.ok(!readdirSync(join(directory, '..')).includes(directory.split('/').at(-1) ?? ''));
});

test('sysfs shows what the driver did to config space', LIMIT, () => {
  const config = `/sys/bus/pci/devices/${BDF}/config`;
  const look = `od -A n -t x2 -j 4 -N 2 ${config}`;
  const script = `'${driver}' wait ${BDF} > '${scratch}/busy' & first=$!
    until grep -q waiting '${scratch}/busy'; do sleep 0.02; done; ${look}; kill -9 $first; wait $first; '${edu}' ${BDF} >/dev/null; ${look}`;
  const { stdout, stderr } = vfiotape('run', '--sim', 'edu', '--', 'sh', '-c', script);
  const [during = 0, later = 0] = stdout
    .trim()
    .split(/\s+/)
    .map((word) => Number.parseInt(word, 16));
  assert.equal(during & 6, 6, `memory and bus master: ${stdout} ${stderr}`);
  assert.equal(later & 4, 0, `no bus master after the driver has gone: ${stdout}`);
});
