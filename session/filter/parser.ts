// SPDX-License-Identifier: Apache-2.0
import { type Comparison, filterError, type Token, tokens } from './lexer.js';

export type Expression =
  | { readonly type: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly type: 'not'; readonly inner: Expression }
  | {
      readonly type: 'compare';
      readonly field: string;
      readonly comparison: Comparison;
      readonly value: string;
      readonly fieldColumn: number;
      readonly comparisonColumn: number;
      readonly valueColumn: number;
    };

/** Parentheses and `!` nest at most so deep: the parser and what walks its tree recurse. */
const DEPTH_MAX = 200;
const TERMS_MAX = 2000;

/** `|` binds least, then `&`, then `!`. */
export function parseFilter(expression: string): Expression {
  const list = tokens(expression);
  if (list.filter(({ type }) => type === 'comparison').length > TERMS_MAX) {
    throw filterError(`more than ${TERMS_MAX} comparisons`, 1, expression);
  }
  let next = 0;
  let depth = 0;
  const peek = (): Token => list[next] as Token;
  const take = (): Token => list[next++] as Token;

  function unexpected(token: Token, wanted: string): Error {
    const what =
      token.type === 'end'
        ? 'the expression ends'
        : `unexpected '${token.type === 'word' || token.type === 'comparison' ? token.text : token.type}'`;
    return filterError(`${what} where ${wanted} is expected`, token.column, expression);
  }

  /** Balanced, so that a long chain makes no deep tree. */
  function join(type: 'and' | 'or', terms: readonly Expression[]): Expression {
    if (terms.length === 1) return terms[0] as Expression;
    const middle = terms.length >> 1;
    return { type, left: join(type, terms.slice(0, middle)), right: join(type, terms.slice(middle)) };
  }

  function or(): Expression {
    const terms = [and()];
    while (peek().type === '|') {
      take();
      terms.push(and());
    }
    return join('or', terms);
  }

  function and(): Expression {
    const terms = [unary()];
    while (peek().type === '&') {
      take();
      terms.push(unary());
    }
    return join('and', terms);
  }

  function unary(): Expression {
    const token = peek();
    if (token.type === 'word') return comparison();
    if (token.type !== '!' && token.type !== '(') throw unexpected(token, 'a comparison such as kind=ioctl');
    if (++depth > DEPTH_MAX)
      throw filterError(`nested more than ${DEPTH_MAX} deep`, token.column, expression);
    take();
    let inner: Expression;
    if (token.type === '!') inner = { type: 'not', inner: unary() };
    else {
      inner = or();
      const close = take();
      if (close.type !== ')') throw unexpected(close, "')', '&' or '|'");
    }
    depth--;
    return inner;
  }

  function comparison(): Expression {
    const field = take() as Token & { readonly type: 'word' };
    const operator = take();
    if (operator.type !== 'comparison') throw unexpected(operator, `a comparison after '${field.text}'`);
    const value = take();
    if (value.type !== 'word') throw unexpected(value, 'a value');
    return {
      type: 'compare',
      field: field.text,
      comparison: operator.text,
      value: value.text,
      fieldColumn: field.column,
      comparisonColumn: operator.column,
      valueColumn: value.column,
    };
  }

  const parsed = or();
  const rest = peek();
  if (rest.type !== 'end') throw unexpected(rest, "'&' or '|'");
  return parsed;
}
