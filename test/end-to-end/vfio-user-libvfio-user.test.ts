// SPDX-License-Identifier: Apache-2.0
// A vfio-user server that is not ours: libvfio-user's own sample (test/lab/setup-libvfio-user builds it), under a driver of
// VFIO's: configuration space, registers, INTx, DMA in both directions by messages, reset.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileC } from '../compile.js';
import { cacheDirectory } from '../lab/kernels.js';
import { scratchDirectory, vfiotape } from './harness.js';
import { BDF, LIMIT } from './simulated.js';

const server = join(cacheDirectory, 'libvfio-user/server');
const skip = existsSync(server) ? false : `no ${server}; run test/lab/setup-libvfio-user`;
const scratch = scratchDirectory();

async function serve(socket: string): Promise<ChildProcess> {
  const child = spawn(server, [socket], { stdio: ['ignore', 'ignore', 'pipe'] });
  while (!existsSync(socket)) {
    assert.equal(child.exitCode, null, 'the server ended');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return child;
}

test('libvfio-user’s sample server', { ...LIMIT, skip }, async () => {
  const driver = join(scratch, 'alarm');
  compileC(driver, ['test/end-to-end/drivers/alarm.c']);
  const socket = join(scratch, 'server.sock');
  const child = await serve(socket);
  const ended = once(child, 'exit');
  let said = '';
  child.stderr?.on('data', (data) => {
    said += data;
  });
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
  assert.deepEqual(await ended, [0, null], said);
  const { stdout: lines } = vfiotape('dump', '--filter', 'kind=dma | kind=interrupt', trace);
  assert.match(
    lines,
    /interrupt INTX\[0\] level=1\n.* dma-write 0x10000 4096 bytes = 4141.* dma-read 0x10000 4096 bytes = 4141/s,
  );
});
