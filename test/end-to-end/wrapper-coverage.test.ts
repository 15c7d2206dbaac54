// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { canTouchVfio, LEFT_ALONE, plainName } from './entry-points.js';

// A wrapper that is missing is the silent failure of this kind of tool: the driver works and the trace has a hole. So
// the imports of the real drivers that are installed here are held against what the shim exports.

const LIBRARIES = '/usr/lib/x86_64-linux-gnu';
/** What test/lab/setup-libblkio and setup-newer have unpacked. */
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfiotape');
const CACHED_LIBRARIES = ['libblkio', 'trixie'].map((name) => join(CACHE, name, LIBRARIES));

function directory(path: string, matching: RegExp): readonly string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => matching.test(name))
    .map((name) => join(path, name));
}

const dpdkPlugins = directory(join(LIBRARIES, 'dpdk'), /^pmds-/).flatMap((path) =>
  directory(path, /^librte_.*\.so$/),
);
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  'qemu-img': ['/usr/bin/qemu-img'],
  'qemu-io': ['/usr/bin/qemu-io'],
  'qemu-system-x86_64': ['/usr/bin/qemu-system-x86_64'],
  "QEMU's block drivers": directory(join(LIBRARIES, 'qemu'), /^block-.*\.so$/),
  DPDK: [
    ...directory('/usr/bin', /^dpdk-(testpmd|test-.*)$/),
    ...directory(LIBRARIES, /^librte_.*\.so\.\d+$/),
    ...dpdkPlugins,
  ],
  libblkio: [LIBRARIES, ...CACHED_LIBRARIES]
    .flatMap((path) => directory(path, /^libblkio\.so\.\d+$/))
    .slice(0, 1),
};

/** Symbols of dynamic symbol tables, without their versions. */
function symbols(
  files: readonly string[],
  which: '--undefined-only' | '--defined-only',
): ReadonlySet<string> {
  const output = execFileSync('nm', ['-D', which, '--', ...files], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'], // files without symbols are told on stderr
  });
  const names = output.split('\n').flatMap((line) => / [A-Za-z] ([^@\s]+)/.exec(line)?.[1] ?? []);
  return new Set(names);
}

const shim = join(packageRoot(), 'build/libvfiotape.so');
const wrapped = symbols([shim], '--defined-only');

for (const [name, files] of Object.entries(DRIVERS)) {
  const present = files.filter((file) => existsSync(file));
  test(`what ${name} imports and can touch VFIO is wrapped, or left alone for a reason`, {
    skip: present.length === 0 ? 'not installed' : false,
  }, () => {
    const touching = [...symbols(present, '--undefined-only')].filter(canTouchVfio).sort();
    assert.ok(touching.includes('read') || touching.includes('close'), `no imports were read from ${name}`);
    const missing = touching.filter(
      (symbol) => !wrapped.has(symbol) && LEFT_ALONE[plainName(symbol)] === undefined,
    );
    assert.deepEqual(missing, [], `${name} imports entry points that the shim does not wrap`);
  });
}

test('what is left alone is not wrapped after all', () => {
  assert.deepEqual(
    Object.keys(LEFT_ALONE).filter((symbol) => wrapped.has(symbol)),
    [],
  );
});

test('every wrapper has its large-file and fortified twins where libc has them', () => {
  const libc = directory(LIBRARIES, /^libc\.so\.6$/);
  const exported = libc.length === 0 ? new Set<string>() : symbols(libc, '--defined-only');
  const missing = [...exported]
    .filter((symbol) => canTouchVfio(symbol) && !wrapped.has(symbol))
    // Names with a leading underscore other than the fortified ones are libc's own.
    .filter((symbol) => !symbol.startsWith('_') || /_(chk|2)$/.test(symbol))
    .filter((symbol) => LEFT_ALONE[plainName(symbol)] === undefined);
  assert.deepEqual(missing, []);
});

test('names are understood', () => {
  for (const [symbol, plain] of Object.entries({
    open64: 'open',
    __open64_2: 'open',
    __openat_2: 'openat',
    __pread64_chk: 'pread',
    preadv64v2: 'preadv2',
    pwritev64: 'pwritev',
    dup2: 'dup2',
    _exit: '_exit',
    __clone: 'clone',
    epoll_create1: 'epoll_create1',
    mmap64: 'mmap',
  })) {
    assert.equal(plainName(symbol), plain);
  }
});
