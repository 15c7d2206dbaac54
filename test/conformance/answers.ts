// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';

/** By action. */
export type Answers = ReadonlyMap<string, string>;

export const ANSWERS = join(packageRoot(), 'test/conformance/answers');
export const QUESTIONS = join(packageRoot(), 'test/conformance/questions');

/** `action = answer`, a line each. */
export function readAnswers(file: string): Answers {
  return new Map(
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line): [string, string][] => {
        const at = line.lastIndexOf(' = ');
        return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 3)]];
      }),
  );
}
