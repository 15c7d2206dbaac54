// SPDX-License-Identifier: Apache-2.0
// `serve` and the device `vfio-user:SOCKET` against each other: unmodified drivers do on a served device what they do on
// the device itself. And what happens when one side is wrong, or dies.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openTrace } from '../../traces/reader.js';
import { buildDriverFuzz, fuzzWords } from '../fuzz/driver-fuzz.js';
import { command, root, run, vfiotape } from './harness.js';
import { BDF, buildExample, buildSimulated, LIMIT, missing, NAMESPACE, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const nvme = buildExample('nvme', scratch);
const edu = buildExample('edu', scratch);
const sharing = buildSimulated(scratch);
const started: ChildProcess[] = [];
let count = 0;
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

interface Served {
  readonly child: ChildProcess;
  readonly socket: string;
  /** What it said so far. */
  said(): string;
  /** Ends it as Ctrl-C does; its exit status. */
  stop(): Promise<number | null>;
}

async function serve(device: string, socket = join(scratch, `${count++}.sock`)): Promise<Served> {
  const child = spawn(process.execPath, [command, 'serve', device, '--vfio-user', socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.push(child);
  let said = '';
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (text: Buffer) => {
      said += text;
      if (said.includes(' is served at ')) resolve();
    });
    child.once('exit', () => reject(new Error(said)));
  });
  return {
    child,
    socket,
    said: () => said,
    async stop() {
      child.kill('SIGINT');
      return await exited;
    },
  };
}

/** Names and numbers that two runs can't have in common. */
const DRIVERS = [
  ['nvme:size=8M', [nvme, '--irq', 'msix', BDF]],
  ['nvme:size=8M', [nvme, '--cdev', BDF]],
  ['edu', [edu, BDF]],
  ['edu', [edu, '--cdev', BDF]],
  ['edu', [sharing, 'threads', BDF]],
] as const;

for (const [device, driver] of DRIVERS) {
  const [program = '', ...words] = driver;
  const title = [program.split('/').at(-1), ...words].join(' ');
  test(`${title} prints the same on a served device, run and recorded`, LIMIT, async () => {
    const direct = vfiotape('run', '--sim', device, '--', ...driver);
    assert.equal(direct.status, 0, direct.stderr);
    const served = await serve(device);
    assert.equal(statSync(served.socket).mode & 0o777, 0o600);
    const sim = ['--sim', `vfio-user:${served.socket}`];
    assert.deepEqual(vfiotape('run', ...sim, '--', ...driver), direct);
    // The next client: the server goes on.
    const trace = join(scratch, `${count++}.vtape`);
    const recorded = vfiotape('record', '-o', trace, ...sim, '--', ...driver);
    assert.equal(recorded.status, 0, recorded.stderr);
    assert.equal(recorded.stdout, direct.stdout);
    assert.match(recorded.stderr, /nothing lost/);
    const opened = openTrace(trace);
    assert.ok(opened.eventCount > 20);
    assert.equal(opened.header.modes.backend, 'simulated');
    opened.close();
    assert.equal(await served.stop(), 0);
    assert.equal(served.said().match(/a client connected\n/g)?.length, 2);
    assert.equal(existsSync(served.socket), false);
  });
}

test('QEMU writes a random image to a served drive, and reads it back', {
  ...LIMIT,
  skip: missing('qemu-img'),
}, async () => {
  const image = randomFillSync(new Uint8Array(1 << 20));
  const [source, drive, back] = ['source', 'drive', 'back'].map((name) => join(scratch, `${name}.img`)) as [
    string,
    string,
    string,
  ];
  writeFileSync(source, image);
  writeFileSync(drive, new Uint8Array(image.length));
  const served = await serve(`nvme:file=${drive}`);
  const qemu = (...words: string[]): void => {
    const { status, stderr } = vfiotape(
      'run',
      '--sim',
      `vfio-user:${served.socket}`,
      '--',
      'qemu-img',
      ...words,
    );
    assert.equal(status, 0, stderr);
  };
  qemu('convert', '-n', '-f', 'raw', '-O', 'raw', source, NAMESPACE);
  assert.deepEqual(readFileSync(drive), Buffer.from(image), 'what is on the drive');
  qemu('convert', '-f', 'raw', '-O', 'raw', NAMESPACE, back);
  assert.deepEqual(readFileSync(back), Buffer.from(image), 'what came back');
  assert.equal(await served.stop(), 0);
});

test('a driver that does anything harms neither side', LIMIT, async () => {
  const program = buildDriverFuzz(scratch);
  const served = await serve('nvme:size=4M');
  const sim = ['--sim', `vfio-user:${served.socket}`];
  const others = ['--sim', 'edu', '--sim', 'edu:bdf=0000:01:00.0'];
  const words = ['run', ...sim, ...others, '--', program, ...fuzzWords(20111129, 4000, 1)];
  const { status, stdout, stderr } = run(process.execPath, [command, ...words], { timeout: 150_000 });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^\d+ calls, \d+ succeeded, \d+ signals$/m);
  const after = vfiotape('run', ...sim, '--', nvme, '--irq', 'msix', BDF);
  assert.equal(after.status, 0, after.stderr);
  assert.equal(await served.stop(), 0);
  assert.doesNotMatch(served.said(), /does not answer|impossible/);
});

test('when the server dies, the driver gets ones and errors, and ends', LIMIT, async () => {
  const served = await serve('edu');
  const child = spawn(
    process.execPath,
    [command, 'run', '--sim', `vfio-user:${served.socket}`, '--', sharing, 'wait', BDF],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      output += text;
    });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  while (!served.said().includes('a client connected') || !output.includes('waiting'))
    await new Promise((resolve) => setTimeout(resolve, 20));
  served.child.kill('SIGKILL');
  while (!output.includes('the server is gone')) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.match(
    output,
    /vfiotape: vfio-user:.*\.sock: the server is gone: it hung up; its device reads as ones/,
  );
  child.kill('SIGTERM');
  await exited;
  // What it left behind does not stop the next one.
  const again = await serve('edu', served.socket);
  assert.equal(vfiotape('run', '--sim', `vfio-user:${again.socket}`, '--', edu, BDF).status, 0);
  assert.equal(await again.stop(), 0);
});

test(
  'a session is replayed on a served device: registers, DMA, and interrupts that come from outside',
  LIMIT,
  async () => {
    const served = await serve('edu');
    // A served device's command register is not as firmware left that of the recorded one.
    const masks = join(scratch, 'command');
    writeFileSync(masks, 'config Command\n');
    const { stdout, status } = vfiotape(
      ...['replay', '--on', `sim:vfio-user:${served.socket}`, '--mask', masks],
      join(root, 'traces/corpus/edu/cdev.vtape'),
    );
    assert.match(stdout, /: no divergence\n {2}50 operations /);
    assert.equal(status, 0);
    assert.equal(await served.stop(), 0);
  },
);

test('what is no vfio-user server is said to be none', LIMIT, async () => {
  const socket = join(scratch, 'other.sock');
  const other = createServer((connection) => {
    connection.on('error', () => undefined);
    connection.end('220 mail.example.org ESMTP\r\n');
  });
  await new Promise<void>((resolve) => other.listen(socket, resolve));
  const child = spawn(process.execPath, [command, 'run', '--sim', `vfio-user:${socket}`, '--', 'true'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => {
    stderr += text;
  });
  const status = await new Promise((resolve) => child.once('exit', resolve));
  other.close();
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^vfiotape: vfio-user:.*other\.sock: whoever listens there does not answer as a vfio-user server does\n$/,
  );
});

test('mistakes with serve', LIMIT, async () => {
  const there = join(scratch, 'file');
  writeFileSync(there, '');
  const served = await serve('edu');
  for (const [words, says] of [
    [['serve', 'edu'], /serve: name a socket: --vfio-user SOCKET/],
    [['serve'], /serve: too few arguments/],
    [['serve', 'edu', 'nvme', '--vfio-user', 'x'], /serve: unexpected argument 'nvme'/],
    [['serve', 'edi', '--vfio-user', join(scratch, 'x')], /^vfiotape: serve edi: no such device/],
    [['serve', 'edu', '--vfio-user', there], /file is there already, and no socket/],
    [['serve', 'edu', '--vfio-user', served.socket], /somebody listens at .* already/],
    [['serve', 'edu', '--vfio-user', join(scratch, 'x'.repeat(120))], /too long for a socket/],
    [['serve', 'edu', '--vfio-user', '/nonexistent/x'], /can't be listened at: ENOENT/],
  ] as const) {
    const { status, stderr } = vfiotape(...words);
    assert.equal(status, 2, `${words.join(' ')}: ${stderr}`);
    assert.match(stderr, says);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }
  assert.equal(await served.stop(), 0);
});
