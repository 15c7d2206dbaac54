// SPDX-License-Identifier: Apache-2.0
// A client that is not ours: QEMU's vfio-user-pci has our NVMe controller in a guest, whose BIOS boots from it by an NVMe
// driver of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { assembleBootSector } from '../lab/boot-sector.js';
import { command, scratchDirectory } from './harness.js';
import { LIMIT } from './simulated.js';

const scratch = scratchDirectory();
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfiotape');
const DISK_BYTES = 8 << 20;
const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

interface Qemu {
  readonly program: string;
  readonly words: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/** The machine's own where it knows the device, else the one that test/lab/setup-vfio-user unpacks. */
function findQemu(): Qemu | undefined {
  const tree = join(cache, 'qemu-vfio-user/usr');
  const libraries = join(tree, 'lib/x86_64-linux-gnu');
  const found: readonly Qemu[] = [
    { program: 'qemu-system-x86_64', words: [], environment: process.env },
    {
      program: join(tree, 'lib64/ld-linux-x86-64.so.2'),
      words: [
        ...['--library-path', `${libraries}:${libraries}/pulseaudio`, join(tree, 'bin/qemu-system-x86_64')],
        ...['-L', join(tree, 'share/qemu'), '-L', join(tree, 'share/seabios')],
      ],
      environment: { ...process.env, QEMU_MODULE_DIR: join(libraries, 'qemu') },
    },
  ];
  return found.find(({ program, words, environment }) => {
    if (program.includes('/') && !existsSync(program)) return false;
    const help = [...words, '-device', 'vfio-user-pci,help'];
    // An older one says that it knows no such device, and succeeds.
    return (
      spawnSync(program, help, { encoding: 'utf8', env: environment }).stdout?.includes('socket') === true
    );
  });
}

const qemu = findQemu();

/** A disk whose first sector reports to the debug console and ends the machine. */
function bootDisk(): string {
  const disk = join(scratch, 'boot.img');
  const bytes = new Uint8Array(DISK_BYTES);
  bytes.set(assembleBootSector(scratch));
  writeFileSync(disk, bytes);
  return disk;
}

test('a guest of QEMU boots from a served NVMe controller', {
  ...LIMIT,
  skip:
    qemu === undefined
      ? 'no QEMU with vfio-user-pci (10.1 and later); test/lab/setup-vfio-user unpacks one'
      : false,
}, async () => {
  const { program, words, environment } = qemu as Qemu;
  const socket = join(scratch, 'nvme.sock');
  const server = spawn(
    process.execPath,
    [command, 'serve', `nvme:file=${bootDisk()}`, '--vfio-user', socket],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  started.push(server);
  let said = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (text: Buffer) => {
      said += text;
      if (said.includes(' is served at ')) resolve();
    });
    server.once('exit', () => reject(new Error(said)));
  });
  const device = { driver: 'vfio-user-pci', bootindex: 0, socket: { type: 'unix', path: socket } };
  const machine = [
    ...['-accel', 'tcg', '-machine', 'q35,memory-backend=ram', '-m', '64M'],
    ...['-object', 'memory-backend-memfd,id=ram,size=64M,share=on'],
    ...[
      '-nodefaults',
      '-display',
      'none',
      '-debugcon',
      'stdio',
      '-device',
      'isa-debug-exit,iobase=0xf4,iosize=4',
    ],
    ...['-device', JSON.stringify(device)],
  ];
  const guest = spawn(program, [...words, ...machine], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(guest);
  let output = '';
  let errors = '';
  guest.stdout.on('data', (text: Buffer) => {
    output += text;
  });
  guest.stderr.on('data', (text: Buffer) => {
    errors += text;
  });
  const status = await new Promise((resolve) => guest.once('exit', resolve));
  // Sixteen times eight sectors were read; isa-debug-exit gives 0 << 1 | 1.
  assert.match(output, /boot sector on a passed-through NVMe: K$/m, errors);
  assert.equal(status, 1, errors);
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  assert.equal(await ended, 0);
  assert.match(said, /a client connected\nvfiotape: the client is gone\n$/);
});
