// SPDX-License-Identifier: Apache-2.0
import { EventKind } from '../../traces/model.js';
import { FIELDS, type Field } from './fields.js';
import { filterError } from './lexer.js';
import { type Expression, parseFilter } from './parser.js';
import type { FilterSubject } from './subject.js';

export interface Filter {
  readonly matches: (subject: FilterSubject) => boolean;
  /** The only kinds that can match; undefined: any. */
  readonly kinds: ReadonlySet<number> | undefined;
}

type Predicate = (subject: FilterSubject) => boolean;

/** Throws a UserError that names the column. */
export function compileFilter(expression: string): Filter {
  if (expression.trim() === '') throw filterError('the expression is empty', 1, expression);
  const tree = parseFilter(expression);
  return { matches: predicate(tree, expression), kinds: possibleKinds(tree, true) };
}

function predicate(tree: Expression, expression: string): Predicate {
  switch (tree.type) {
    case 'and': {
      // What needs no decoding is asked first.
      const [first, second] = cheapFirst(tree.left, tree.right).map((part) => predicate(part, expression));
      return (subject) => (first as Predicate)(subject) && (second as Predicate)(subject);
    }
    case 'or': {
      const [first, second] = cheapFirst(tree.left, tree.right).map((part) => predicate(part, expression));
      return (subject) => (first as Predicate)(subject) || (second as Predicate)(subject);
    }
    case 'not': {
      const inner = predicate(tree.inner, expression);
      return (subject) => !inner(subject);
    }
    case 'compare':
      return comparison(tree, expression);
  }
}

const decoding: ReadonlySet<string> = new Set(['region', 'register', 'interrupt', 'text', 'offset', 'site']);

function cost(tree: Expression): number {
  if (tree.type === 'compare')
    return decoding.has(tree.field) ? 2 : FIELDS[tree.field]?.type === 'text' ? 1 : 0;
  return tree.type === 'not' ? cost(tree.inner) : Math.max(cost(tree.left), cost(tree.right));
}

function cheapFirst(left: Expression, right: Expression): readonly Expression[] {
  return cost(right) < cost(left) ? [right, left] : [left, right];
}

type Compare = Expression & { readonly type: 'compare' };

function comparison(tree: Compare, expression: string): Predicate {
  const field = Object.hasOwn(FIELDS, tree.field) ? FIELDS[tree.field] : undefined;
  if (field === undefined) {
    const message = `unknown field '${tree.field}'; the fields are ${Object.keys(FIELDS).join(', ')}`;
    throw filterError(message, tree.fieldColumn, expression);
  }
  return field.type === 'number' ? numeric(field, tree, expression) : textual(field, tree, expression);
}

function numeric(field: Field & { readonly type: 'number' }, tree: Compare, expression: string): Predicate {
  const { comparison } = tree;
  if (comparison === '~' || comparison === '!~') {
    throw filterError(
      `'${tree.field}' is a number and can't be asked with '${comparison}'`,
      tree.comparisonColumn,
      expression,
    );
  }
  const wanted = field.parse(tree.value);
  if (wanted === undefined) {
    throw filterError(`'${tree.value}' is not ${field.expects}`, tree.valueColumn, expression);
  }
  const { get } = field;
  // number and bigint mixed: <= and >= compare them by value, === would not.
  switch (comparison) {
    case '=':
      return (subject) => equal(get(subject), wanted);
    case '!=':
      return (subject) => !equal(get(subject), wanted);
    case '<':
      return (subject) => get(subject) < wanted;
    case '<=':
      return (subject) => get(subject) <= wanted;
    case '>':
      return (subject) => get(subject) > wanted;
    case '>=':
      return (subject) => get(subject) >= wanted;
  }
}

function equal(a: number | bigint, b: number | bigint): boolean {
  return a <= b && a >= b;
}

function textual(field: Field & { readonly type: 'text' }, tree: Compare, expression: string): Predicate {
  const { get } = field;
  const { comparison, value } = tree;
  const wanted = value.toLowerCase();
  const has = (test: (text: string) => boolean): Predicate => {
    return (subject) => get(subject).some((text) => test(text.toLowerCase()));
  };
  switch (comparison) {
    case '=':
    case '!=': {
      closedList(field, tree, expression);
      const equal = has((text) => text === wanted);
      return comparison === '=' ? equal : (subject) => !equal(subject);
    }
    case '~':
      return has((text) => text.includes(wanted));
    case '!~': {
      const contains = has((text) => text.includes(wanted));
      return (subject) => !contains(subject);
    }
    default:
      throw filterError(
        `'${tree.field}' is text and has no '${comparison}'`,
        tree.comparisonColumn,
        expression,
      );
  }
}

/** A misspelt name would match nothing in silence. */
function closedList(field: Field & { readonly type: 'text' }, tree: Compare, expression: string): void {
  const values = field.values?.();
  const wanted = tree.value.toLowerCase();
  if (values === undefined || values.some((value) => value.toLowerCase() === wanted)) return;
  if (/^(ioctl 0x|kind\d)/.test(wanted)) return;
  const close = values.filter((value) => value.toLowerCase().includes(wanted)).slice(0, 3);
  const hint =
    close.length > 0 ? `; did you mean ${close.join(', ')}?` : ` (${tree.field}~ finds parts of a name)`;
  throw filterError(`no call is named '${tree.value}'${hint}`, tree.valueColumn, expression);
}

/** The kinds that the expression can be true for, when it says so; `positive` is false below a `!`. */
function possibleKinds(tree: Expression, positive: boolean): ReadonlySet<number> | undefined {
  switch (tree.type) {
    case 'not':
      return possibleKinds(tree.inner, !positive);
    case 'and':
    case 'or': {
      const left = possibleKinds(tree.left, positive);
      const right = possibleKinds(tree.right, positive);
      // Below a `!` the two change places.
      if ((tree.type === 'and') === positive) {
        if (left === undefined) return right;
        return right === undefined ? left : new Set([...left].filter((kind) => right.has(kind)));
      }
      return left === undefined || right === undefined ? undefined : new Set([...left, ...right]);
    }
    case 'compare': {
      const equal = tree.comparison === (positive ? '=' : '!=');
      if (!equal) return undefined;
      if (tree.field === 'kind') {
        const field = FIELDS['kind'];
        const kind = field?.type === 'number' ? field.parse(tree.value) : undefined;
        return kind === undefined ? undefined : new Set([Number(kind)]);
      }
      const isIoctl = tree.field === 'op' && /^(vfio|iommu|kvm)_/i.test(tree.value);
      return isIoctl ? new Set([EventKind.IOCTL]) : undefined;
    }
  }
}
