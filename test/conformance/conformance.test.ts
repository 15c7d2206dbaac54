// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { LocalProcess } from '../../replayer/kernel/local-process.js';
import { TABLES, type Table } from './environments.js';
import { type Answers, probe } from './probe.js';

/** `action = answer`, a line each. */
function readAnswers(file: string): Answers {
  const text = readFileSync(join(packageRoot(), 'test/conformance/answers', file), 'utf8');
  return new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.lastIndexOf(' = ');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 3)]];
    }),
  );
}

function ask({ variant, slot }: Table): Answers {
  const kernel = new SimulatedKernel({ variant, devices: [slot()] });
  return probe(kernel, new LocalProcess({ capabilities: ['IPC_LOCK', 'SYS_RAWIO', 'SYS_RESOURCE'] }));
}

/** Each has its reason in docs/simulated-kernel.md. */
const KNOWN: ReadonlySet<string> = new Set([
  'intel-6.12/nvme.txt: MSI-X: count = info.count+1',
  'intel-6.1/nvme.txt: MSI-X: count = info.count+1',
]);

let equal = 0;
let different = 0;

for (const table of TABLES) {
  test(`the simulated kernel answers as the real one: ${table.file}`, (context) => {
    const real = readAnswers(table.file);
    const ours = ask(table);
    const differences: string[] = [];
    for (const [action, wanted] of real) {
      const got = ours.get(action) ?? '(not asked)';
      const known = KNOWN.has(`${table.file}: ${action}`);
      if (got === wanted) equal++;
      else different++;
      // One that became equal is to be taken off the list.
      if ((got === wanted) === known) differences.push(`${action}\n    real: ${wanted}\n    ours: ${got}`);
    }
    const unasked = [...ours.keys()].filter((action) => !real.has(action));
    context.diagnostic(`${real.size} answers`);
    assert.deepEqual(differences, [], differences.join('\n'));
    assert.deepEqual(unasked, []);
  });
}

test('every table was compared', (context) => {
  context.diagnostic(`${equal} equal, ${different} different of ${equal + different}`);
});
