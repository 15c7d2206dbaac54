// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { PciFunction } from '../../replayer/devices/pci/function.js';
import { Counter } from './counter.js';

test('counts, interrupts at ten, forgets at reset', () => {
  const fn = new PciFunction(new Counter());
  let messages = 0;
  fn.upstream = {
    dmaRead: () => false,
    dmaWrite: () => false,
    windows: [],
    message: () => messages++,
    intx: () => undefined,
    defer: (work) => work(),
    removed: () => undefined,
    administer: () => undefined,
  };
  // Memory and bus mastering; one MSI vector.
  fn.configWrite(0x04, 2, 0x0006);
  fn.configWrite(0x42, 2, 0x0001);
  for (let store = 0; store < 9; store++) fn.barWrite(0, 0, 4, 1n);
  assert.deepEqual([fn.barRead(0, 0, 4), messages], [9n, 0]);
  fn.barWrite(0, 0, 4, 1n);
  assert.deepEqual([fn.barRead(0, 0, 4), messages], [10n, 1]);
  fn.reset();
  fn.configWrite(0x04, 2, 0x0002);
  assert.equal(fn.barRead(0, 0, 4), 0n);
});

test('CONTRIBUTING.md shows it as it is', () => {
  const text = readFileSync(join(packageRoot(), 'CONTRIBUTING.md'), 'utf8');
  const shown = text.split('```ts\n').at(1)?.split('```').at(0) ?? '';
  const source = readFileSync(join(packageRoot(), 'examples/counter/counter.ts'), 'utf8');
  assert.match(shown, /^export class Counter/);
  assert.ok(source.endsWith(shown), 'copy the class again');
});
