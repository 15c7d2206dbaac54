// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { packageRoot } from '../package-root.js';
import * as wire from './sim.js';

const headerPath = join(packageRoot(), 'abi/wire/sim.h');

const structs: readonly (readonly [string, Readonly<Record<string, number>>, number])[] = [
  ['vfiotape_sim_request', wire.SimRequestField, wire.SIM_REQUEST_BYTES],
  ['vfiotape_sim_reply', wire.SimReplyField, wire.SIM_REPLY_BYTES],
  ['vfiotape_sim_copy', wire.SimCopyField, wire.SIM_COPY_BYTES],
  ['vfiotape_sim_service', wire.SimServiceField, wire.SIM_SERVICE_BYTES],
];

const numbers: Readonly<Record<string, number>> = {
  ...wire.SimType,
  ...wire.SimServiceType,
  VERSION: wire.SIM_VERSION,
  DIRECTORY_MAX: wire.SIM_DIRECTORY_MAX,
  MAJOR_GROUP: wire.SIM_MAJOR_GROUP,
  MAJOR_CDEV: wire.SIM_MAJOR_CDEV,
  NODE_MODE: wire.SIM_NODE_MODE,
  DATA_MAX: wire.SIM_DATA_MAX,
  ARGUMENT_MAX: wire.SIM_ARGUMENT_MAX,
};

const texts: Readonly<Record<string, string>> = {
  VARIABLE: wire.SIM_VARIABLE,
  SOCKET: wire.SIM_SOCKET,
  ROOT: wire.SIM_ROOT,
  NETLINK: wire.SIM_NETLINK,
};

const header = readFileSync(headerPath, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');

test('sim.ts says what the compiler makes of sim.h', () => {
  const claims: [string, string][] = [];
  for (const [name, fields, size] of structs) {
    claims.push([`sizeof(struct ${name})`, String(size)]);
    for (const [field, offset] of Object.entries(fields)) {
      claims.push([`__builtin_offsetof(struct ${name}, ${field})`, String(offset)]);
    }
  }
  for (const [name, value] of Object.entries(numbers)) claims.push([`VFIOTAPE_SIM_${name}`, String(value)]);

  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-wire-'));
  try {
    const source = join(directory, 'wire.c');
    writeFileSync(
      source,
      [
        `#include "${headerPath}"`,
        ...claims.map(
          ([what, value]) => `_Static_assert((${what}) == (${value}), "${what} is not ${value}");`,
        ),
        '',
      ].join('\n'),
    );
    execFileSync(process.env['CC'] ?? 'cc', ['-std=gnu11', '-fsyntax-only', source], { stdio: 'pipe' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('names and prefixes are the same on both sides', () => {
  for (const [name, value] of Object.entries(texts)) {
    assert.equal(new RegExp(`#define VFIOTAPE_SIM_${name} "([^"]*)"`).exec(header)?.[1], value);
  }
  const table = /#define VFIOTAPE_SIM_PREFIXES[\s\\]*\{([^}]*)\}/.exec(header)?.[1];
  assert.deepEqual(
    [...(table ?? '').matchAll(/"([^"]*)"/g)].map((match) => match[1]),
    wire.SIM_PREFIXES,
  );
});

test('sim.ts leaves no number and no field of sim.h out', () => {
  const known = new Set([...Object.keys(numbers), ...Object.keys(texts), 'PREFIXES']);
  const missing = [...new Set(header.match(/\bVFIOTAPE_SIM_[A-Z0-9_]+\b/g) ?? [])].filter(
    (name) => !known.has(name.slice('VFIOTAPE_SIM_'.length)),
  );
  assert.deepEqual(missing, []);
  for (const [name, fields] of structs) {
    const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
    assert.ok(body, name);
    const inHeader = [...body.matchAll(/(\w+);/g)].map((match) => match[1] ?? '');
    const here = new Set(Object.keys(fields));
    assert.deepEqual(
      inHeader.filter((field) => field !== 'pad' && !here.has(field)),
      [],
      name,
    );
  }
});
