// SPDX-License-Identifier: Apache-2.0
// A vfio-user server that is not ours: libvfio-user's own sample (test/lab/setup-libvfio-user builds it), under a driver of
// VFIO's: configuration space, registers, INTx, DMA in both directions by messages, reset.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import { cacheDirectory } from '../lab/kernels.js';
import { scratchDirectory, vfiotape } from './harness.js';
import { BDF, LIMIT } from './simulated.js';

const library = join(cacheDirectory, 'libvfio-user');
const skip = existsSync(join(library, 'server')) ? false : `no ${library}; run test/lab/setup-libvfio-user`;
const scratch = scratchDirectory();

/** A server that listens; `ended` says how it ended, and what it had said. */
async function serve(program: string, socket: string) {
  const child = spawn(program, [socket], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => {
    said += data;
  });
  const ended = once(child, 'exit').then(([status]) => ({ left: status as number | null, said }));
  while (!existsSync(socket)) {
    assert.equal(child.exitCode, null, said);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { ended };
}

test('libvfio-user’s sample server', { ...LIMIT, skip }, async () => {
  const driver = join(scratch, 'alarm');
  compileC(driver, ['test/end-to-end/drivers/alarm.c']);
  const socket = join(scratch, 'server.sock');
  const { ended } = await serve(join(library, 'server'), socket);
  const trace = join(scratch, 'alarm.vtape');
  const { status, stdout, stderr } = vfiotape(
    ...['record', '--sim', `vfio-user:${socket}`, '--dma', 'content', '-o', trace, '--', driver, BDF],
  );
  assert.deepEqual(stdout.split('\n'), [
    'device: dead:beef, subsystem cafe:babe',
    'BAR 1: 0x600df00d',
    "memory: 4096 bytes of 'A'",
    'alarm: 1 interrupt, on time',
    '',
  ]);
  assert.equal(status, 0, stderr);
  // It compares what it reads back, and ends when its client has gone.
  const { left, said } = await ended;
  assert.equal(left, 0, said);
  const { stdout: lines } = vfiotape('dump', '--filter', 'kind=dma | kind=interrupt', trace);
  assert.match(
    lines,
    /interrupt INTX\[0\] level=1\n.* dma-write 0x10000 4096 bytes = 4141.* dma-read 0x10000 4096 bytes = 4141/s,
  );
});

test('a device of ours on libvfio-user: MSI-X, and DMA that a store sets off', {
  ...LIMIT,
  skip,
}, async () => {
  const [server, driver] = [join(scratch, 'copy-server'), join(scratch, 'copy')];
  compileC(
    server,
    ['test/end-to-end/drivers/copy-server.c'],
    [`-I${library}/include`, `-L${library}`, `-Wl,-rpath,${library}`, '-Wl,--no-as-needed', '-lvfio-user'],
  );
  compileC(driver, ['test/end-to-end/drivers/copy.c', ...EXAMPLE_VFIO]);
  const socket = join(scratch, 'copy.sock');
  const { ended } = await serve(server, socket);
  const trace = join(scratch, 'copy.vtape');
  const { status, stdout, stderr } = vfiotape(
    ...['record', '--sim', `vfio-user:${socket}`, '--dma', 'content', '-o', trace, '--', driver, BDF],
  );
  assert.equal(
    stdout,
    'device: 1234:0c09, 2 vectors, reset\ncommand 1: 1 interrupt\ncommand 2: 1 interrupt\nmemory: 5000 of 5000 bytes inverted\n',
    stderr,
  );
  assert.equal(status, 0, stderr);
  const { left, said } = await ended;
  assert.equal(left, 0, said);
  const played = vfiotape('play', trace, '--', driver, BDF);
  assert.equal(played.stdout, stdout, played.stderr);
  assert.equal(played.status, 0, played.stderr);
});
