// SPDX-License-Identifier: Apache-2.0
// QEMU's NVMe driver, as Debian ships it, on a simulated drive: what is written is what is read.
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openTrace } from '../../traces/reader.js';
import { type Outcome, vfiotape } from './harness.js';
import { asUser, LIMIT, missing, NAMESPACE, noOrdinaryUser, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const MIB = 1 << 20;
let files = 0;

/** A file that an ordinary user may write to, too. */
function file(bytes: Uint8Array | number): string {
  const path = join(scratch, `${files++}.img`);
  writeFileSync(path, typeof bytes === 'number' ? new Uint8Array(bytes) : bytes);
  chmodSync(path, 0o666);
  return path;
}

function randomImage(bytes: number): Uint8Array {
  const image = randomFillSync(new Uint8Array(bytes));
  // Holes, which qemu-img writes as zeroes.
  image.fill(0, bytes / 4, bytes / 2);
  return image;
}

const USERS = {
  'as this user': (args: readonly string[]): Outcome => vfiotape(...args),
  'as an ordinary user': (args: readonly string[]): Outcome => asUser(args, { cwd: scratch }),
} as const;

for (const [who, vfio] of Object.entries(USERS)) {
  describe(`qemu ${who}`, { skip: missing('qemu-img') }, () => {
    const succeed = (...args: readonly string[]): Outcome => {
      const outcome = vfio(args);
      assert.equal(outcome.status, 0, `${args.join(' ')}: ${outcome.stderr}`);
      return outcome;
    };
    const trace = (): string => join(scratch, `${files++}.vtape`);

    test('qemu-img info', LIMIT, () => {
      const { stdout } = succeed('run', '--sim', 'nvme:size=48M', '--', 'qemu-img', 'info', NAMESPACE);
      assert.match(stdout, /virtual size: 48 MiB \(50331648 bytes\)/);
    });

    test('qemu-img bench, recorded', LIMIT, () => {
      const path = trace();
      const bench = ['qemu-img', 'bench', '-c', '400', '-d', '8', '-s', '4096', '-f', 'raw', NAMESPACE];
      const { stdout, stderr } = succeed('record', '-o', path, '--sim', 'nvme', '--', ...bench);
      assert.match(stdout, /Run completed in/);
      assert.match(stderr, /nothing lost/);
      const opened = openTrace(path);
      assert.ok((opened.eventCount ?? 0) > 800, 'a doorbell for each of them at least');
      assert.deepEqual(opened.damages, []);
      opened.close();
      const writes = [
        'qemu-img',
        'bench',
        '-w',
        '-c',
        '100',
        '-d',
        '32',
        '-f',
        'raw',
        '-t',
        'none',
        NAMESPACE,
      ];
      succeed('run', '--sim', 'nvme', '--', ...writes);
    });

    test('a random image goes in and comes out, byte by byte', LIMIT, () => {
      const image = randomImage(4 * MIB);
      const [source, drive, back] = [file(image), file(image.length), join(scratch, `${files++}.img`)];
      const convert = ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw'];
      const sim = ['--sim', `nvme:file=${drive}`];
      succeed('run', ...sim, '--', ...convert, '-n', source, NAMESPACE);
      assert.deepEqual(readFileSync(drive), Buffer.from(image), 'what is on the drive');
      succeed('record', '-o', trace(), ...sim, '--', ...convert, NAMESPACE, back);
      assert.deepEqual(readFileSync(back), Buffer.from(image), 'what came back');
      succeed('run', ...sim, '--', 'qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, NAMESPACE);
    });

    test('qemu-io: patterns are written and verified, in memory and in a file', LIMIT, () => {
      const drive = file(8 * MIB);
      const steps = [
        'write -P 0xa5 0 64k',
        'write -P 0x5a 3584 1024', // within a page, across one
        'write -P 0x11 1M 2M', // more than one command may carry
        'write -z 1280k 256k',
        'aio_write -P 0x22 5M 128k',
        'aio_write -P 0x33 6M 128k',
        'aio_flush',
        'flush',
        'read -P 0xa5 0 3584',
        'read -P 0x5a 3584 1024',
        'read -P 0xa5 4608 60928',
        'read -P 0x11 1M 256k',
        'read -P 0 1280k 256k',
        'read -P 0x11 1536k 1536k',
        'read -P 0x22 5M 128k',
        'read -P 0x33 6M 128k',
        'read -P 0 7M 1M',
      ];
      const words = steps.flatMap((step) => ['-c', step]);
      for (const device of ['nvme:size=8M', `nvme:file=${drive}`]) {
        const { stdout } = succeed(
          'run',
          '--sim',
          device,
          '--',
          'qemu-io',
          '-f',
          'raw',
          '-t',
          'none',
          ...words,
          NAMESPACE,
        );
        assert.doesNotMatch(stdout, /Pattern verification failed|error/i);
        assert.equal(stdout.match(/^(wrote|read) /gm)?.length, steps.length - 2, stdout);
      }
      const written = readFileSync(drive);
      assert.ok(written.subarray(3584, 4608).every((byte) => byte === 0x5a));
      assert.ok(written.subarray(5 * MIB, 5 * MIB + 131072).every((byte) => byte === 0x22));
      const wrong = vfio([
        'run',
        '--sim',
        `nvme:file=${drive}`,
        '--',
        'qemu-io',
        '-f',
        'raw',
        '-c',
        'read -P 1 0 512',
        NAMESPACE,
      ]);
      assert.match(wrong.stdout, /Pattern verification failed/, 'the check checks');
    });
  });
}

test('a namespace that is not there, and a device that is not there', {
  ...LIMIT,
  skip: missing('qemu-img'),
}, () => {
  for (const [image, says] of [
    [NAMESPACE.replace('/1', '/2'), /namespace/i],
    [NAMESPACE.replace('04.0', '09.0'), /0000:00:09\.0/],
  ] as const) {
    const { status, stderr } = vfiotape('run', '--sim', 'nvme', '--', 'qemu-img', 'info', image);
    assert.equal(status, 1);
    assert.match(stderr, says);
  }
});

test('a drive that may only be read refuses to be written', {
  ...LIMIT,
  skip: missing('qemu-io') || noOrdinaryUser,
}, () => {
  const drive = file(MIB);
  chmodSync(drive, 0o444);
  const io = (...words: string[]): Outcome =>
    asUser(['run', '--sim', `nvme:file=${drive}`, '--', 'qemu-io', '-f', 'raw', ...words, NAMESPACE], {
      cwd: scratch,
    });
  const { status, stdout, stderr } = io('-c', 'write -P 1 0 4096');
  assert.notEqual(status, 0, stdout + stderr);
  assert.equal(io('-r', '-c', 'read -P 0 0 4096').status, 0);
  assert.ok(readFileSync(drive).every((byte) => byte === 0));
});
