// SPDX-License-Identifier: Apache-2.0
/** Call sites of a program that says itself where they are, looked up in its files in every way that files are kept. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { packageRoot } from '../../abi/package-root.js';
import type { ModuleDefinition, SiteDefinition } from '../../traces/model.js';
import { bytesInMemory } from './byte-source.js';
import { CallSites, callSiteText } from './call-sites.js';
import { ElfFile, SectionType } from './elf.js';
import { miniDebugInformation } from './find-files.js';
import { FunctionTable } from './functions.js';
import { parseLines } from './source-lines.js';

const sources = join(packageRoot(), 'session/symbols/test');
const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-symbols-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const BUILD_ID = '0123456789abcdef0123456789abcdef01234567';
const LIBRARY_ID = 'fedcba9876543210fedcba9876543210fedcba98';

function compile(source: string, output: string, buildId: string, flags: readonly string[]): void {
  mkdirSync(dirname(output), { recursive: true });
  execFileSync(
    process.env['CC'] ?? 'cc',
    [
      ...['-std=gnu11', '-O2', '-g', '-fvisibility=hidden', `-Wl,--build-id=0x${buildId}`],
      ...['-o', output, join(sources, source), ...flags],
    ],
    { stdio: 'pipe' },
  ); // ld warns of dlopen in static programs
}

interface Seen {
  readonly id: number;
  readonly function: string;
  readonly line: number;
}

interface Definitions {
  readonly sites: Map<number, SiteDefinition>;
  readonly modules: Map<number, ModuleDefinition>;
}

/** Runs the program and keeps what a recording of it would: executable mappings, and sites in them. */
function observe(
  program: string,
  library?: string,
): { readonly seen: readonly Seen[]; readonly definitions: Definitions } {
  const output = execFileSync(program, library === undefined ? [] : [library], { encoding: 'utf8' });
  const modules = new Map<number, ModuleDefinition>();
  for (const [, start, end, offset, path] of output.matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) r-xp ([0-9a-f]+) \S+ \d+ *(.*)$/gm,
  )) {
    const id = modules.size + 1;
    const buildId = Buffer.from(path === library ? LIBRARY_ID : path === program ? BUILD_ID : '', 'hex');
    const [from, to, at] = [start, end, offset].map((word) => BigInt(`0x${word}`)) as [
      bigint,
      bigint,
      bigint,
    ];
    modules.set(id, { id, process: 1, start: from, end: to, fileOffset: at, path: path as string, buildId });
  }
  const sites = new Map<number, SiteDefinition>();
  const seen: Seen[] = [];
  for (const [, name, digits, line] of output.matchAll(/^site (\w+) (0x[0-9a-f]+) (\d+)$/gm)) {
    const id = sites.size + 1;
    const address = BigInt(digits as string);
    const module = [...modules.values()].find(({ start, end }) => start <= address && address < end);
    assert.ok(module, 'the program printed its mappings');
    const moduleOffset = address - module.start + module.fileOffset;
    sites.set(id, { id, process: 1, address, module: module.id, moduleOffset });
    seen.push({ id, function: name as string, line: Number(line) });
  }
  return { seen, definitions: { sites, modules } };
}

/** `direct_caller program.c:19`, one for each site; `-` for what is not found. */
function named(definitions: Definitions, seen: readonly Seen[], directories: readonly string[] = []) {
  const callSites = new CallSites(definitions, directories);
  const names = seen.map(({ id }) => {
    const found = callSites.find(id, true);
    if (found === undefined) return '-';
    assert.ok(found.function === undefined || found.offset > 0);
    const [place, ...more] = found.source.toReversed();
    const lines = place === undefined ? '' : ` ${basename(place.file)}:${place.line}`;
    return `${found.function ?? '?'}${lines}${more.map(({ line }) => ` < ${line}`).join('')}`;
  });
  const notes = callSites.notes();
  callSites.close();
  return { names, notes };
}

const expected = (seen: readonly Seen[], source: (name: string) => string) =>
  seen.map(
    ({ function: name, line }) => `${name} ${source(name)}:${line}${name === 'outer_caller' ? ' < 14' : ''}`,
  );
const sourceOf = (name: string) => (/^l/.test(name) ? 'library.c' : 'program.c');

for (const [how, flags] of [
  ['position independent', ['-pie', '-fPIE']],
  ['at a fixed address', ['-no-pie']],
  ['static', ['-static']],
  ['static, position independent', ['-static-pie', '-fPIE']],
] as const) {
  test(`functions and lines of a program that is ${how}`, () => {
    const program = join(scratch, how.replaceAll(/\W/g, '-'), 'program');
    compile('program.c', program, BUILD_ID, [...flags, '-ldl']);
    const { seen, definitions } = observe(program);
    assert.equal(seen.length, 2);
    assert.deepEqual(named(definitions, seen), { names: expected(seen, sourceOf), notes: [] });
  });
}

test('a library that was loaded late, found where it is by now', () => {
  const home = join(scratch, 'late');
  const program = join(home, 'program');
  const library = join(home, 'library.so');
  compile('program.c', program, BUILD_ID, ['-ldl']);
  compile('library.c', library, LIBRARY_ID, ['-shared', '-fPIC']);
  const { seen, definitions } = observe(program, library);
  assert.deepEqual(
    seen.map(({ function: name }) => name),
    ['direct_caller', 'outer_caller', 'library_call', 'local_function'],
  );
  const all = { names: expected(seen, sourceOf), notes: [] };
  assert.deepEqual(named(definitions, seen), all);

  const elsewhere = join(scratch, 'elsewhere');
  mkdirSync(elsewhere);
  renameSync(library, join(elsewhere, 'library.so'));
  const half = named(definitions, seen);
  assert.deepEqual(
    half,
    { names: [...all.names.slice(0, 2), '-', '-'], notes: [] },
    'nothing to say of a file that is not here',
  );
  assert.deepEqual(named(definitions, seen, [elsewhere]), all, 'by name');
  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, home), { recursive: true });
  copyFileSync(join(elsewhere, 'library.so'), join(tree, library));
  assert.deepEqual(named(definitions, seen, [tree]), all, 'by path');
  const store = join(scratch, 'store');
  mkdirSync(join(store, '.build-id', 'fe'), { recursive: true });
  copyFileSync(join(elsewhere, 'library.so'), join(store, '.build-id', 'fe', LIBRARY_ID.slice(2)));
  assert.deepEqual(named(definitions, seen, [store]), all, 'by build-id');
  const kept = join(scratch, 'kept');
  mkdirSync(kept);
  copyFileSync(join(elsewhere, 'library.so'), join(kept, 'library.so.1.2 (server)'));
  compile('library.c', join(kept, 'other.so'), BUILD_ID.replace('0', 'e'), ['-shared', '-fPIC']);
  assert.deepEqual(named(definitions, seen, [kept]), all, 'under another name');
  assert.match(
    named(definitions, seen, [home]).notes.join('\n'),
    /^not found, by build-id: \S+library\.so; --symbols DIR /,
  );

  compile('library.c', library, BUILD_ID.replace('0', 'f'), ['-shared', '-fPIC']);
  assert.deepEqual(named(definitions, seen), {
    names: half.names,
    notes: [
      `changed since the recording, by build-id: ${library}; --symbols DIR gives a directory with the recorded one`,
    ],
  });
  assert.deepEqual(named(definitions, seen, [elsewhere]), all, 'the changed file does not hide the true one');
});

test('stripped files, with and without their debug information', () => {
  const home = join(scratch, 'stripped');
  const program = join(home, 'program');
  const library = join(home, 'library.so');
  compile('program.c', program, BUILD_ID, ['-ldl']);
  compile('library.c', library, LIBRARY_ID, ['-shared', '-fPIC']);
  const { seen, definitions } = observe(program, library);
  const all = { names: expected(seen, sourceOf), notes: [] };
  for (const file of [program, library]) {
    execFileSync('objcopy', ['--only-keep-debug', file, `${file}.split`]);
    execFileSync('objcopy', ['--strip-all', `--add-gnu-debuglink=${file}.split`, file]);
  }
  assert.deepEqual(named(definitions, seen), all, 'beside the file, by its link');
  mkdirSync(join(home, '.debug'));
  for (const file of [program, library]) {
    renameSync(`${file}.split`, join(home, '.debug', `${basename(file)}.split`));
  }
  assert.deepEqual(named(definitions, seen), all, 'in .debug');
  const store = join(scratch, 'debug-store');
  for (const [file, id] of [
    [program, BUILD_ID],
    [library, LIBRARY_ID],
  ] as const) {
    mkdirSync(join(store, '.build-id', id.slice(0, 2)), { recursive: true });
    renameSync(
      join(home, '.debug', `${basename(file)}.split`),
      join(store, '.build-id', id.slice(0, 2), `${id.slice(2)}.debug`),
    );
  }
  assert.deepEqual(
    named(definitions, seen),
    { names: ['-', '-', 'library_call', '-'], notes: [] },
    'only what is exported',
  );
  assert.deepEqual(named(definitions, seen, [store]), all, 'by build-id');
  rmSync(home, { recursive: true });
  assert.deepEqual(named(definitions, seen, [store]), all, 'without the code');
});

test('names of local functions packed into the file', (t) => {
  const library = join(scratch, 'mini', 'library.so');
  compile('library.c', library, LIBRARY_ID, ['-shared', '-fPIC']);
  const program = join(scratch, 'mini', 'program');
  compile('program.c', program, BUILD_ID, ['-ldl']);
  const { seen, definitions } = observe(program, library);
  try {
    execFileSync('objcopy', ['--strip-debug', library, `${library}.mini`]);
    execFileSync('xz', [`${library}.mini`]);
  } catch {
    return t.skip('no xz');
  }
  execFileSync('objcopy', ['--strip-all', `--add-section=.gnu_debugdata=${library}.mini.xz`, library]);
  assert.deepEqual(named(definitions, seen).names.slice(2), ['library_call', 'local_function']);
});

test('with either tool that reads lines; without one there are functions, and one line that says so', () => {
  const program = join(scratch, 'tools', 'program');
  compile('program.c', program, BUILD_ID, ['-ldl']);
  const { seen, definitions } = observe(program);
  const path = process.env['PATH'] ?? '';
  const only = (tool: string) => {
    const directory = join(scratch, `only-${tool}`);
    mkdirSync(directory);
    const found = path
      .split(':')
      .map((place) => join(place, tool))
      .find((file) => existsSync(file));
    if (found !== undefined) symlinkSync(found, join(directory, tool));
    process.env['PATH'] = directory;
    return found !== undefined;
  };
  try {
    for (const tool of ['addr2line', 'llvm-symbolizer']) {
      if (only(tool))
        assert.deepEqual(named(definitions, seen), { names: expected(seen, sourceOf), notes: [] }, tool);
    }
    only('neither');
    assert.deepEqual(named(definitions, seen), {
      names: ['direct_caller', 'outer_caller'],
      notes: ['no source lines: neither llvm-symbolizer nor addr2line is installed'],
    });
  } finally {
    process.env['PATH'] = path;
  }
});

test('a file without a build-id is not believed', () => {
  const program = join(scratch, 'no-id', 'program');
  compile('program.c', program, BUILD_ID, ['-ldl', '-Wl,--build-id=none']);
  const { seen, definitions } = observe(program);
  const changed = named(definitions, seen);
  assert.deepEqual(changed.names, ['-', '-']);
  assert.match(changed.notes.join('\n'), /^changed since the recording/);
  for (const [id, module] of definitions.modules)
    definitions.modules.set(id, { ...module, buildId: Buffer.alloc(0) });
  assert.match(
    named(definitions, seen).notes.join('\n'),
    /^recorded without a build-id, so no file can be trusted to be it/,
  );
});

test('what the tools print, both of them', () => {
  const place = (name: string | undefined, file: string, line: number) => ({ function: name, file, line });
  const text =
    '0x1139\ninner\n/s/a b.c:5 (discriminator 3)\nmain\n/s/a:c.c:9\n\n0x5\n??\n??:0\n\n0x7\n??\n/s/x.S:3\n0x9\nf\n/s/y.c:?\n';
  assert.deepEqual(
    [...parseLines(text)],
    [
      [0x1139, [place('inner', '/s/a b.c', 5), place('main', '/s/a:c.c', 9)]],
      [0x7, [place(undefined, '/s/x.S', 3)]],
    ],
  );
  const source = [place('a', '/s/io.h', 20), place('b', '/s/nvme.c', 123)];
  assert.equal(
    callSiteText({ function: 'nvme_poll', offset: 28, source }),
    'nvme_poll+0x1c (a io.h:20 < nvme.c:123)',
  );
  assert.equal(
    callSiteText({ function: undefined, offset: 0, source: [place('a', '/s/\x1b[2J.c', 1)] }),
    '(\\x1b[2J.c:1)',
  );
});

/** Everything that is asked of a file; must neither throw nor take long. */
function askAll(bytes: Uint8Array): void {
  const elf = ElfFile.read(bytesInMemory(bytes));
  if (elf === undefined) return;
  for (const type of [SectionType.SYMTAB, SectionType.DYNSYM]) {
    const functions = FunctionTable.of(elf, type);
    for (const at of [-1, 0, 0x1000, 0x1139, 0x2000, 2 ** 52, Number.MAX_SAFE_INTEGER]) functions?.at(at);
  }
  for (const at of [0, 0x1139, bytes.length, 2 ** 53]) elf.addressOf(at);
  miniDebugInformation(elf);
}

test('a damaged file is less known, never a failure', () => {
  const program = join(scratch, 'hostile', 'program');
  compile('program.c', program, BUILD_ID, ['-ldl']);
  const library = join(scratch, 'hostile', 'library.so');
  compile('library.c', library, LIBRARY_ID, ['-shared', '-fPIC']);
  execFileSync('objcopy', ['--only-keep-debug', program, `${program}.split`]);
  for (const path of [program, library, `${program}.split`]) {
    const whole = new Uint8Array(readFileSync(path));
    for (let length = 0; length < whole.length; length += 1 + (length >>> 7))
      askAll(whole.subarray(0, length));
    const sectionTable = Number(new DataView(whole.buffer).getBigUint64(40, true));
    // The header, the program headers and the section headers are what steers the reader.
    const steering = fc.oneof(
      fc.nat(1023),
      fc.integer({ min: sectionTable, max: whole.length - 1 }),
      fc.nat(whole.length - 1),
    );
    const word = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
    fc.assert(
      fc.property(fc.array(fc.tuple(steering, word), { minLength: 1, maxLength: 12 }), (changes) => {
        const damaged = whole.slice();
        for (const [at, value] of changes) damaged[at] = value;
        askAll(damaged);
      }),
      { numRuns: 300 },
    );
  }
});
