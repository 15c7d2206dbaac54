// SPDX-License-Identifier: Apache-2.0
/** Limits on statistics, as a file of the user says them: docs/budget.md. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import { UserError } from '../../../abi/user-error.js';
import { PHASES } from '../../../session/phases/phase.js';

export const SUBJECTS = ['operation', 'queue', 'vector', 'mapping', 'opening', 'recording'] as const;
export type Subject = (typeof SUBJECTS)[number];

/** What may narrow a series down. */
export const SELECTORS = ['phase', 'object', 'bdf', 'register', 'site', 'thread'] as const;
export type Selector = (typeof SELECTORS)[number];

const LATENCIES = ['min', 'p50', 'p90', 'p99', 'p99.9', 'max', 'mean', 'total'] as const;
const STAGES = ['doorbell_to_wake', 'wake_to_read', 'read_to_completion', 'doorbell_to_completion'] as const;

type Unit = 'time' | 'number';

/** What can be limited, by subject, and in which unit it is given. */
export const STATISTICS: Readonly<Record<Subject, Readonly<Record<string, Unit>>>> = {
  operation: { count: 'number', failed: 'number', rate: 'number', ...units(LATENCIES, 'time') },
  queue: {
    doorbells: 'number',
    completions: 'number',
    ...units(
      STAGES.flatMap((stage) => LATENCIES.map((latency) => `${stage}.${latency}`)),
      'time',
    ),
  },
  vector: {
    wakes: 'number',
    reads: 'number',
    signals: 'number',
    signals_per_read: 'number',
    largest: 'number',
    unread_wakes: 'number',
    rate: 'number',
  },
  mapping: { calls: 'number', failed: 'number', bytes: 'number', total: 'time', per_mib: 'time' },
  opening: { to_ready: 'time' },
  recording: { events: 'number', duration: 'time', share: 'number', lost_events: 'number', waited: 'time' },
};

function units(names: readonly string[], unit: Unit): Readonly<Record<string, Unit>> {
  return Object.fromEntries(names.map((name) => [name, unit]));
}

export interface Bound {
  readonly statistic: string;
  readonly unit: Unit;
  readonly side: 'at-most' | 'at-least';
  /** ns or a number; `times`: so many times what the baseline has. */
  readonly value: number;
  readonly times: boolean;
  /** As it was written. */
  readonly text: string;
  readonly line: number;
}

export interface Limit {
  readonly subject: Subject;
  readonly name: string;
  readonly where: Readonly<Partial<Record<Selector, string>>>;
  readonly bounds: readonly Bound[];
  readonly line: number;
}

export interface Budget {
  readonly limits: readonly Limit[];
  /** Path of a trace, as the file has it: relative to the file. */
  readonly baseline: string | undefined;
}

const TIMES: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };
const SCALES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

/** Throws UserError with file and line. */
export function parseBudget(text: string, file: string): Budget {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const [mistake] = document.errors;
  if (mistake !== undefined) {
    const [what] = mistake.message.split(/ at line |\n/);
    throw new UserError(`${file}:${counter.linePos(mistake.pos[0]).line}: ${what}`);
  }
  return new Parser(file, counter).budget(document.contents);
}

class Parser {
  readonly #file: string;
  readonly #counter: LineCounter;

  constructor(file: string, counter: LineCounter) {
    this.#file = file;
    this.#counter = counter;
  }

  budget(node: unknown): Budget {
    const map = this.#map(node, 'a budget must have "limits"; docs/budget.md shows one', undefined);
    this.#known(map, ['limits', 'baseline'], 'a budget');
    const list = map.get('limits', true);
    if (!isSeq(list)) this.#fail((list as Node | undefined) ?? map, '"limits" must be a list');
    const baseline = map.get('baseline', true);
    const limits = list.items.map((item) => this.#limit(item));
    const path =
      baseline === undefined ? undefined : this.#text(baseline, '"baseline" must be the path of a trace');
    const relative = limits.flatMap(({ bounds }) => bounds).find(({ times }) => times);
    if (relative !== undefined && path === undefined)
      throw new UserError(
        `${this.#file}:${relative.line}: '${relative.text}' needs a "baseline" trace to compare with`,
      );
    return { limits, baseline: path };
  }

  #limit(node: unknown): Limit {
    const map = this.#map(node, `a limit must say what it is of: ${SUBJECTS.join(', ')}`, undefined);
    const subjects = SUBJECTS.filter((subject) => map.has(subject));
    const [subject] = subjects;
    if (subject === undefined || subjects.length > 1)
      this.#fail(map, `a limit is of one of ${SUBJECTS.join(', ')}`);
    const selectors = subject === 'operation' ? SELECTORS : (['object', 'bdf'] as const);
    this.#known(map, [subject, 'at-most', 'at-least', ...selectors], `a limit of ${subject}`);
    const name = this.#text(map.get(subject, true), `"${subject}" must be a name, or "*" for all`);
    const where: Partial<Record<Selector, string>> = {};
    for (const selector of selectors) {
      const value = map.get(selector, true);
      if (value === undefined) continue;
      where[selector] = this.#text(value, `"${selector}" must be a text`);
      if (selector === 'phase' && !(PHASES as readonly string[]).includes(where[selector] as string))
        this.#fail(value, `no phase '${where[selector]}'; there are ${PHASES.join(', ')}`);
    }
    const narrowed = (['phase', 'register', 'site', 'thread'] as const).filter(
      (one) => where[one] !== undefined,
    );
    if (narrowed.length > 1)
      this.#fail(map, `give one of phase, register, site, thread, not ${narrowed.join(' and ')}`);
    if (narrowed.some((one) => one !== 'register') && (where.object ?? where.bdf) !== undefined)
      this.#fail(map, `${narrowed[0]} can't be narrowed down to an object`);
    const bounds = (['at-most', 'at-least'] as const).flatMap((side) => this.#bounds(map, subject, side));
    if (bounds.length === 0) this.#fail(map, 'a limit needs "at-most" or "at-least"');
    return { subject, name, where, bounds, line: this.#line(map) };
  }

  #bounds(limit: YAMLMap, subject: Subject, side: Bound['side']): readonly Bound[] {
    const node = limit.get(side, true);
    if (node === undefined) return [];
    const map = this.#map(node, `"${side}" must name statistics and their limits`, limit);
    return map.items.map(({ key, value }) => {
      const statistic = this.#text(key, 'a statistic must be a name');
      const unit = Object.hasOwn(STATISTICS[subject], statistic) ? STATISTICS[subject][statistic] : undefined;
      if (unit === undefined)
        this.#fail(
          key,
          `no statistic '${statistic}' of ${subject}; there are ${Object.keys(STATISTICS[subject]).join(', ')}`,
        );
      const text = this.#text(value ?? key, `'${statistic}' needs a limit`);
      return {
        statistic,
        unit,
        side,
        text,
        line: this.#line(key as Node),
        ...this.#value(text, unit, (value ?? key) as Node),
      };
    });
  }

  #value(text: string, unit: Unit, node: Node): { readonly value: number; readonly times: boolean } {
    const [, factor] = /^(\d+(?:\.\d+)?)x$/.exec(text) ?? [];
    if (factor !== undefined) return { value: Number(factor), times: true };
    const [, number, scale = ''] = /^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|k|M|G|%)?$/.exec(text) ?? [];
    const of = unit === 'time' ? TIMES[scale] : scale === '%' ? 0.01 : SCALES[scale];
    if (number === undefined || of === undefined) {
      const example = unit === 'time' ? '500us or 2ms' : '1000, 10k or 5%';
      this.#fail(
        node,
        `'${text}' is no ${unit === 'time' ? 'time' : 'number'}; write it like ${example}, or 1.2x of the baseline`,
      );
    }
    return { value: Number(number) * of, times: false };
  }

  #known(map: YAMLMap, keys: readonly string[], what: string): void {
    for (const { key } of map.items) {
      const name = this.#text(key, 'a key must be a word');
      if (!keys.includes(name))
        this.#fail(key, `unknown key '${name}' in ${what}; known are ${keys.join(', ')}`);
    }
  }

  #map(node: unknown, otherwise: string, parent: Node | undefined): YAMLMap {
    if (isMap(node)) return node;
    return this.#fail(node ?? parent, otherwise);
  }

  #text(node: unknown, otherwise: string): string {
    if (isScalar(node)) {
      const { value, source } = node;
      if (typeof value === 'string' && value !== '') return value;
      // As it was written: 1e3 and 0x10 are for the reader of the file.
      if (typeof value === 'number') return source ?? String(value);
    }
    return this.#fail(node, otherwise);
  }

  #line(node: unknown): number {
    const range = (node as Node | undefined)?.range;
    return range === undefined || range === null ? 1 : this.#counter.linePos(range[0]).line;
  }

  #fail(node: unknown, what: string): never {
    throw new UserError(`${this.#file}:${this.#line(node)}: ${what}`);
  }
}
