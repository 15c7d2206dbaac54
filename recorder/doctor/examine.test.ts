// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { examine, formatDiagnosis } from './examine.js';
import { machineAt } from './machine.js';
import { extendMachine, type MachineDescription, recordedMachine } from './recorded-machine.js';

// Machines of many shapes, as data, each with the report that is expected of it. After a change that is meant:
// VFIOTAPE_UPDATE=1 npm test -- recorder/doctor, then read the difference.

const SHIM = '/opt/vfiotape/build/libvfiotape.so';
const fixtures = join(packageRoot(), 'recorder/doctor/fixtures');

function load(name: string): MachineDescription {
  const description = JSON.parse(readFileSync(join(fixtures, `${name}.json`), 'utf8')) as MachineDescription;
  return description.extends === undefined
    ? description
    : extendMachine(load(description.extends), description);
}

for (const file of readdirSync(fixtures).filter((name) => name.endsWith('.json'))) {
  const name = file.replace(/\.json$/, '');
  test(`${name}: ${load(name).about}`, () => {
    const diagnosis = examine(recordedMachine(load(name)), SHIM);
    const text = formatDiagnosis(diagnosis);
    const expected = join(fixtures, `${name}.txt`);
    if (process.env['VFIOTAPE_UPDATE'] !== undefined) writeFileSync(expected, text);
    assert.equal(text, readFileSync(expected, 'utf8'));
    assert.equal(diagnosis.canRecord, !text.includes('PROBLEM'));
  });
}

test('whatever this machine is, the doctor has an answer, and every finding that is not ok says something', () => {
  const { findings, canRecord } = examine(machineAt('/', 'somebody'), SHIM);
  assert.ok(findings.length >= 10);
  assert.equal(canRecord, !findings.some(({ level }) => level === 'problem'));
  for (const { message, remedy } of findings)
    assert.ok(message !== '' && remedy.every((line) => line !== ''));
});

test('a machine of which nothing can be read is no crash', () => {
  const { canRecord } = examine(recordedMachine({ about: 'empty' }), SHIM);
  assert.equal(canRecord, false);
  assert.equal(examine(machineAt('/nonexistent', 'nobody'), SHIM).canRecord, false);
});
