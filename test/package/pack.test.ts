// SPDX-License-Identifier: Apache-2.0
/** What whoever installs the package gets: all that it needs at run time, nothing of the tests, and a current jsdom. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';

const root = packageRoot();

function packed(): ReadonlySet<string> {
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  assert.equal(status, 0, stderr);
  const [listing] = JSON.parse(stdout) as readonly [{ readonly files: readonly { readonly path: string }[] }];
  return new Set(listing.files.map(({ path }) => path));
}

const files = packed();

test('the package has what it runs and what its libraries are built from', () => {
  for (const path of [
    'dist/cli/main.js',
    'build/libvfiotape.so',
    'build/libvfiotape-access.so',
    'recorder/shim/Makefile',
    'replayer/native/Makefile',
    'abi/wire/record.h',
    'abi/wire/sim.h',
    'traces/trace.proto',
    'traces/FORMAT.md',
    'examples/nvme/Makefile',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
  ])
    assert.ok(files.has(path), path);
  const sources = [...files].filter((path) => /^(recorder\/shim|examples)\/.*\.[ch]$/.test(path));
  for (const path of sources) {
    for (const [, name = ''] of readFileSync(join(root, path), 'utf8').matchAll(/^#\s*include "([^"]+)"/gm)) {
      const found = [
        dirname(path),
        'recorder/shim',
        'recorder/shim/core',
        'recorder/shim/mmio',
        'abi/wire',
        '.',
      ];
      assert.ok(
        found.some((directory) => files.has(posix.join(directory, name))),
        `${path} includes ${name}`,
      );
    }
  }
});

test('it has nothing of the tests, no sources in TypeScript and no recordings', () => {
  const own = [...files].filter((path) => !path.startsWith('node_modules/'));
  assert.deepEqual(
    own.filter(
      (path) =>
        /\.test\.|(^|\/)(test|fixtures)(\/|\.)|\.vtape$|\.map$/.test(path) || /(?<!\.d)\.ts$/.test(path),
    ),
    [],
  );
});

test('each module that it imports is there', () => {
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Readonly<Record<'dependencies' | 'optionalDependencies', Readonly<Record<string, string>>>>;
  // Its own name is told by the example at the head of index.ts.
  const known = new Set(['vfiotape', ...Object.keys(dependencies), ...Object.keys(optionalDependencies)]);
  for (const path of files) {
    if (!/^dist\/.*\.js$/.test(path)) continue;
    const text = readFileSync(join(root, path), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:^|\s)(?:from|import) ?\(?'([^']+)'/gm)) {
      if (name.startsWith('node:')) continue;
      if (name.startsWith('.')) assert.ok(files.has(posix.join(dirname(path), name)), `${path}: ${name}`);
      else
        assert.ok(
          known.has(
            name
              .split('/')
              .slice(0, name.startsWith('@') ? 2 : 1)
              .join('/'),
          ),
          `${path}: ${name}`,
        );
    }
  }
});

test('d3-node comes with the jsdom that is tested, not with that of 2021 which it asks for', () => {
  // npm heeds overrides only at the root of an installation: so it is bundled.
  const copies = [...files].filter((path) => path.endsWith('/jsdom/package.json'));
  assert.deepEqual(copies, ['node_modules/jsdom/package.json']);
  const { version } = JSON.parse(readFileSync(join(root, copies[0] as string), 'utf8')) as {
    readonly version: string;
  };
  assert.ok(Number(version.split('.')[0]) >= 29, version);
});
