// SPDX-License-Identifier: Apache-2.0
import type { Driver } from './drivers.js';

type Printed = Pick<Driver, 'volatile' | 'unordered'>;

/** Says where two runs of a driver printed different things; undefined when they printed the same but for what is volatile. */
export function firstDifference(driver: Printed, plain: string, recorded: string): string | undefined {
  const left = steady(driver, plain);
  const right = steady(driver, recorded);
  return driver.unordered === true ? unorderedDifference(left, right) : orderedDifference(left, right);
}

function steady(driver: Printed, text: string): readonly string[] {
  return driver.volatile
    .reduce((so, pattern) => so.replace(pattern, ''), text.replaceAll('\r', ''))
    .split('\n');
}

function orderedDifference(left: readonly string[], right: readonly string[]): string | undefined {
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] !== right[i]) {
      return `line ${i + 1} without the recorder: ${left[i] ?? '(none)'}\nwith it: ${right[i] ?? '(none)'}`;
    }
  }
  return undefined;
}

/**
 * Lines in any order. testpmd writes its prompt, and echoes what it is told, character by character past stdio's buffer, so that
 * a flush of its own or of another thread's text can come in the middle of a word: lines that have no equal must be made of
 * the same characters.
 */
function unorderedDifference(left: readonly string[], right: readonly string[]): string | undefined {
  const leftOnly = without(left, right);
  const rightOnly = without(right, left);
  if (characters(leftOnly) === characters(rightOnly)) return undefined;
  return `lines without the recorder only: ${JSON.stringify(leftOnly)}\nwith it only: ${JSON.stringify(rightOnly)}`;
}

function without(lines: readonly string[], others: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count === 0;
  });
}

function characters(lines: readonly string[]): string {
  return [...lines.join('').replaceAll(/\s/g, '')].sort().join('');
}
