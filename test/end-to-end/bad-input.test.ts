// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { buildDriver, command, givesUpRights, run, scratchDirectory, vfiotape } from './harness.js';

// What users get wrong: each is one line that says what, where and what to do, and exit status 2.

const scratch = scratchDirectory();
chmodSync(scratch, 0o755);
const NOBODY = 65534;

interface Mistake {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function assertOneLine({ status, stdout, stderr }: Mistake, expected: RegExp): void {
  assert.match(stderr, /^vfiotape: [^\n]+\n$/, `not one line: ${stderr}`);
  assert.match(stderr, expected);
  assert.equal(stdout, '');
  assert.equal(status, 2);
}

/** As a user without rights, where this test has them. */
function unprivileged(...args: readonly string[]): Mistake {
  return run(process.execPath, [command, ...args], givesUpRights ? { uid: NOBODY, gid: NOBODY } : {});
}

function record(driver: string, ...args: readonly string[]): Mistake {
  return vfiotape('record', '-o', join(scratch, 'out.vtape'), '--', driver, ...args);
}

function refuses(name: string, driver: string, expected: RegExp): void {
  test(`record refuses ${name}`, () => {
    assertOneLine(record(driver), expected);
    assert.ok(!existsSync(join(scratch, 'out.vtape')), 'a trace of nothing was left');
  });
}

refuses(
  'a driver that is not in PATH',
  'vfiotape-no-such-driver',
  /no driver named 'vfiotape-no-such-driver' in PATH/,
);
refuses('a driver that does not exist', '/nonexistent/driver', /\/nonexistent\/driver/);
refuses('a directory', scratch, /is a directory/);

const script = join(scratch, 'not-executable');
writeFileSync(script, '#!/bin/sh\nexit 0\n', { mode: 0o644 });
refuses('a file that is not executable', script, /not-executable is not executable; chmod \+x/);

const text = join(scratch, 'text');
writeFileSync(text, 'these are words\n');

const lost = join(scratch, 'lost-interpreter');
writeFileSync(lost, '#!/nonexistent/interpreter\n', { mode: 0o755 });
refuses('a script whose interpreter is missing', lost, /\/nonexistent\/interpreter/);

// A header is all that is looked at: 32 bit needs no 32-bit tool chain here.
const header32 = Buffer.alloc(4096);
header32.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
header32.writeUInt16LE(2, 16);
header32.writeUInt16LE(3, 18);
header32.writeUInt32LE(1, 20);
const program32 = join(scratch, 'driver-32-bit');
writeFileSync(program32, header32, { mode: 0o755 });
refuses('a 32-bit program', program32, /32/);

const headerArm = Buffer.from(header32);
headerArm[4] = 2;
headerArm.writeUInt16LE(183, 18);
const programArm = join(scratch, 'driver-arm');
writeFileSync(programArm, headerArm, { mode: 0o755 });
refuses('a program for another processor', programArm, /driver-arm/);

const staticProgram = ((): string | undefined => {
  try {
    return buildDriver('crash', ['-static']);
  } catch {
    return undefined;
  }
})();
test('record refuses a static program: nothing of it would be recorded', {
  skip: staticProgram === undefined ? 'no static libc here' : false,
}, () => {
  assertOneLine(record(staticProgram as string), /static/);
  assert.ok(!existsSync(join(scratch, 'out.vtape')));
});

test('record refuses a setuid program, which the loader would keep the shim out of', {
  skip: givesUpRights ? false : 'needs root, and a project that another user can read',
}, () => {
  const program = join(scratch, 'setuid');
  copyFileSync('/bin/true', program);
  chownSync(program, NOBODY, NOBODY);
  chmodSync(program, 0o4755);
  assertOneLine(record(program), /setuid/);
});

test('record refuses a trace that could not be written, before the driver starts', () => {
  const closed = join(scratch, 'closed');
  mkdirSync(closed, { mode: 0o755 });
  const witness = join(scratch, 'witness');
  const run = ['touch', witness];
  assertOneLine(vfiotape('record', '-o', '/nonexistent/t.vtape', '--', ...run), /\/nonexistent/);
  assertOneLine(vfiotape('record', '-o', scratch, '--', ...run), /directory/);
  assertOneLine(vfiotape('record', '-o', '/dev/null', '--', ...run), /\/dev\/null/);
  if (givesUpRights)
    assertOneLine(unprivileged('record', '-o', join(closed, 't.vtape'), '--', ...run), /closed/);
  assert.ok(!existsSync(witness), 'the driver was started');
});

test('record refuses options that make no sense', () => {
  const say = (expected: RegExp, ...options: readonly string[]): void => {
    assertOneLine(vfiotape('record', ...options, '--', 'true'), expected);
  };
  say(/--buffer/, '--buffer', 'much');
  say(/--buffer/, '--buffer', '1');
  say(/--max-size/, '--max-size', '-4');
  say(/--duration/, '--duration', 'soon');
  say(/--at-limit/, '--at-limit', 'stop');
  say(/when-full/, '--when-full', 'wait');
  say(/--watch/, '--watch', 'BAR9');
  say(/unknown argument: colour/, '--colour');
  assertOneLine(vfiotape('record'), /usage: vfiotape record/);
});

test('a program that never comes near VFIO is said to be so, loudly, and keeps its status', () => {
  const outcome = vfiotape('record', '-o', join(scratch, 'nothing.vtape'), '--', 'sh', '-c', 'exit 3');
  assert.equal(outcome.status, 3);
  assert.match(outcome.stderr, /no VFIO call/);
});

const READERS = ['info', 'dump'];

function unreadable(name: string, path: () => string, expected: RegExp): void {
  for (const verb of READERS) {
    test(`${verb} of ${name}`, () => {
      assertOneLine(vfiotape(verb, path()), expected);
    });
  }
}

unreadable('a file that does not exist', () => join(scratch, 'nonexistent'), /nonexistent/);
unreadable('a directory', () => scratch, /directory/);
unreadable('a text file', () => text, /text: .*not a (vfiotape )?trace/i);
unreadable(
  'an empty file',
  () => {
    const empty = join(scratch, 'empty');
    writeFileSync(empty, '');
    return empty;
  },
  /empty/,
);
unreadable('a program', () => process.execPath, /trace/);

test('a trace that may not be read', {
  skip: givesUpRights ? false : 'needs root, and a project that another user can read',
}, () => {
  const secret = join(scratch, 'secret.vtape');
  writeFileSync(secret, 'x', { mode: 0o600 });
  for (const verb of READERS) assertOneLine(unprivileged(verb, secret), /secret\.vtape/);
});

/** The first packet's version_major, and the checksum that covers it: trace.proto has the layout. */
function asVersion(trace: Buffer, version: number): Buffer {
  const newer = Buffer.from(trace);
  assert.equal(newer[0], 0x0a); // Trace.packet
  let at = 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = newer[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const end = at + length;
  const covered = at + 9 + 5; // sync, crc32
  let header = covered + 1; // the tag of Packet.header
  while ((newer[header++] ?? 0) >= 0x80); // its length
  assert.equal(newer[header], 0x08); // Header.version_major
  newer[header + 1] = version;
  newer.writeUInt32LE(crc32(newer.subarray(covered, end)), at + 9 + 1);
  return newer;
}

test('a trace of a newer version is refused with the versions, and this one’s is read', () => {
  const path = join(scratch, 'version.vtape');
  assert.equal(vfiotape('record', '-o', path, '--', 'true').status, 0);
  const trace = readFileSync(path);
  const newer = join(scratch, 'newer.vtape');
  writeFileSync(newer, asVersion(trace, 1));
  assert.deepEqual(readFileSync(newer), trace);
  writeFileSync(newer, asVersion(trace, 2));
  for (const verb of READERS)
    assertOneLine(vfiotape(verb, newer), /newer\.vtape: .*version 2\.\d+.*newer vfiotape/);
});

test('dump refuses a filter that is none, and says where', () => {
  const path = join(scratch, 'filter.vtape');
  assert.equal(vfiotape('record', '-o', path, '--', 'true').status, 0);
  assertOneLine(vfiotape('dump', '--filter', 'kind=', path), /filter/);
  assertOneLine(vfiotape('dump', '--filter', 'colour=red', path), /colour/);
  assertOneLine(vfiotape('dump', '--from', '-1', path), /from/);
});

test('recover refuses what is no session', () => {
  assertOneLine(vfiotape('recover', scratch), /no session directory/);
  assertOneLine(vfiotape('recover', '/nonexistent'), /\/nonexistent/);
});

test('a wrong verb or option is one line', () => {
  assertOneLine(vfiotape('recrod'), /unknown verb 'recrod'; the verbs are demo, record, /);
  assertOneLine(vfiotape('--recrod'), /unknown option '--recrod'/);
  assertOneLine(vfiotape('info'), /usage: vfiotape info/);
});

test('help and version are no mistakes', () => {
  for (const words of [
    [],
    ['--help'],
    ['help'],
    ['-h'],
    ['record', '--help'],
    ['info', '--help'],
    ['dump', '-h'],
    ['doctor', '--help'],
  ]) {
    const { status, stdout, stderr } = vfiotape(...words);
    assert.equal(status, 0);
    assert.equal(stderr, '');
    assert.match(stdout, /vfiotape/);
    assert.ok(
      stdout.split('\n').every((line) => line.length <= 120),
      `wider than a terminal: ${words.join(' ')}`,
    );
  }
  assert.match(vfiotape('--version').stdout, /^vfiotape \d+\.\d+\.\d+\n$/);
});

test('a reader that has seen enough is no error', () => {
  const path = join(scratch, 'pipe.vtape');
  assert.equal(vfiotape('record', '-o', path, '--', 'true').status, 0);
  const status = execFileSync(
    'bash',
    ['-c', `"$0" "$1" dump "$2" | true; echo "\${PIPESTATUS[0]}"`, process.execPath, command, path],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(status, '0\n');
});
