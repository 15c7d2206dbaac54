// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { LocalProcess } from '../../replayer/kernel/local-process.js';
import { ANSWERS, type Answers, QUESTIONS, readAnswers } from './answers.js';
import { answersFile, ENVIRONMENTS, type Environment, type Questions } from './environments.js';
import { probe } from './probe.js';
import { askScripts } from './script.js';

function ask({ variant, slot }: Environment, questions: Questions): Answers {
  const kernel = new SimulatedKernel({ variant, devices: [slot()] });
  const process = new LocalProcess({ capabilities: ['IPC_LOCK', 'SYS_RAWIO', 'SYS_RESOURCE'] });
  if (questions === 'first') return probe(kernel, process);
  const texts = ['names', questions].map((name) => readFileSync(join(QUESTIONS, `${name}.txt`), 'utf8'));
  return askScripts(kernel, process, texts);
}

let equal = 0;
const compared = new Set<string>();

for (const environment of ENVIRONMENTS) {
  for (const questions of environment.questions) {
    const file = answersFile(environment, questions);
    test(`the simulated kernel answers as the real one: ${file}`, (context) => {
      compared.add(file);
      const real = readAnswers(join(ANSWERS, file));
      const ours = ask(environment, questions);
      const differences: string[] = [];
      for (const [action, wanted] of real) {
        const got = ours.get(action) ?? '(not asked)';
        if (got === wanted) equal++;
        else differences.push(`${action}\n    real: ${wanted}\n    ours: ${got}`);
      }
      context.diagnostic(`${real.size} answers`);
      assert.deepEqual(differences, [], differences.join('\n'));
      assert.deepEqual(
        [...ours.keys()].filter((action) => !real.has(action)),
        [],
      );
    });
  }
}

test('every table was compared', (context) => {
  const files = readdirSync(ANSWERS, { recursive: true }).map(String);
  assert.deepEqual(
    files.filter((file) => file.endsWith('.txt') && !compared.has(file)),
    [],
  );
  context.diagnostic(`${equal} answers are equal`);
});
