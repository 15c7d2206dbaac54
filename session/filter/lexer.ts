// SPDX-License-Identifier: Apache-2.0
import { escapeText } from '../../abi/text.js';
import { UserError } from '../../abi/user-error.js';

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>=' | '~' | '!~';

export type Token =
  | { readonly type: 'word'; readonly text: string; readonly column: number; readonly quoted: boolean }
  | { readonly type: 'comparison'; readonly text: Comparison; readonly column: number }
  | { readonly type: '&' | '|' | '!' | '(' | ')' | 'end'; readonly column: number };

/** One line that points at the place: columns count from 1. */
export function filterError(message: string, column: number, expression: string): UserError {
  const shown = escapeText(expression.length > 100 ? `${expression.slice(0, 100)}…` : expression);
  return new UserError(`filter '${shown}', column ${column}: ${escapeText(message)}`);
}

const comparisons: readonly Comparison[] = ['!=', '!~', '<=', '>=', '<', '>', '=', '~'];
// Everything that can stand in a name, an address, a number, a path, or `MSIX[2]`.
const word = /[^\s&|!()=<>~"']+/y;

export function tokens(expression: string): readonly Token[] {
  const found: Token[] = [];
  let at = 0;
  while (at < expression.length) {
    const character = expression[at] as string;
    const column = at + 1;
    if (/\s/.test(character)) {
      at++;
      continue;
    }
    const comparison = comparisons.find((text) => expression.startsWith(text, at));
    if (comparison !== undefined) {
      found.push({ type: 'comparison', text: comparison, column });
      at += comparison.length;
    } else if (character === '&' || character === '|') {
      found.push({ type: character, column });
      // && and || are what a C programmer's fingers write.
      at += expression[at + 1] === character ? 2 : 1;
    } else if (character === '!' || character === '(' || character === ')') {
      found.push({ type: character, column });
      at++;
    } else if (character === '"' || character === "'") {
      const end = expression.indexOf(character, at + 1);
      if (end < 0) throw filterError(`the ${character} is never closed`, column, expression);
      found.push({ type: 'word', text: expression.slice(at + 1, end), column, quoted: true });
      at = end + 1;
    } else {
      word.lastIndex = at;
      const text = (word.exec(expression) as RegExpExecArray)[0];
      found.push({ type: 'word', text, column, quoted: false });
      at += text.length;
    }
  }
  found.push({ type: 'end', column: expression.length + 1 });
  return found;
}
