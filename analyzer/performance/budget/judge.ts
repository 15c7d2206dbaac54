// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import type { Finding, RuleVerdict } from '../../check/finding.js';
import type { Latency, Series, Statistics } from '../model.js';
import { formatCount, formatNs } from '../tables.js';
import type { Bound, Budget, Limit } from './budget.js';
import { BUDGET_RULE } from './rule.js';

/** One thing that a limit is about, with what can be limited of it. */
interface Measured {
  readonly name: string;
  readonly object: string;
  readonly bdf: string;
  readonly values: Readonly<Record<string, number | undefined>>;
}

function latencies(latency: Latency | null, prefix = ''): Readonly<Record<string, number | undefined>> {
  if (latency === null) return {};
  const { min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, mean_ns, total_ns } = latency;
  const values = {
    min: min_ns,
    p50: p50_ns,
    p90: p90_ns,
    p99: p99_ns,
    'p99.9': p999_ns,
    max: max_ns,
    mean: mean_ns,
    total: total_ns,
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

function tableFor(statistics: Statistics, { where }: Limit): readonly Series[] {
  if (where.phase !== undefined) return statistics.by_phase;
  if (where.register !== undefined) return statistics.registers;
  if (where.site !== undefined) return statistics.sites;
  if (where.thread !== undefined) return statistics.threads;
  return where.object !== undefined || where.bdf !== undefined ? statistics.objects : statistics.operations;
}

function measured(statistics: Statistics, limit: Limit): readonly Measured[] {
  const { subject, name, where } = limit;
  const found = all(statistics, limit);
  return found.filter(
    (one) =>
      (name === '*' || one.name === name || subject === 'recording') &&
      (where.object === undefined || one.object === where.object) &&
      (where.bdf === undefined || one.bdf === where.bdf),
  );
}

function all(statistics: Statistics, limit: Limit): readonly Measured[] {
  switch (limit.subject) {
    case 'operation': {
      const { phase, register, site, thread } = limit.where;
      return tableFor(statistics, limit)
        .filter(
          (one) =>
            (phase === undefined || one.phase === phase) &&
            (register === undefined || one.register === register) &&
            (site === undefined || one.site === site) &&
            (thread === undefined || one.thread === thread),
        )
        .map(({ operation, object = '', bdf = '', count, failed, rate_per_s, latency }) => ({
          name: operation,
          object,
          bdf,
          values: { count, failed, rate: rate_per_s, ...latencies(latency) },
        }));
    }
    case 'queue':
      return statistics.queues.map((queue) => ({
        name: queue.queue,
        object: queue.object,
        bdf: queue.bdf,
        values: {
          doorbells: queue.doorbells,
          completions: queue.completions,
          ...latencies(queue.doorbell_to_wake, 'doorbell_to_wake.'),
          ...latencies(queue.wake_to_read, 'wake_to_read.'),
          ...latencies(queue.read_to_completion, 'read_to_completion.'),
          ...latencies(queue.doorbell_to_completion, 'doorbell_to_completion.'),
        },
      }));
    case 'vector':
      return statistics.interrupts.map(({ vector, object, bdf, rate_per_s, ...values }) => ({
        name: vector,
        object,
        bdf,
        values: {
          wakes: values.wakes,
          reads: values.reads,
          signals: values.signals,
          signals_per_read: values.signals_per_read,
          largest: values.largest,
          unread_wakes: values.unread_wakes,
          rate: rate_per_s,
        },
      }));
    case 'mapping':
      return statistics.mappings.map(({ operation, object, calls, failed, bytes, total_ns, ns_per_mib }) => ({
        name: operation,
        object,
        bdf: '',
        values: { calls, failed, bytes, total: total_ns, per_mib: ns_per_mib },
      }));
    case 'opening':
      return statistics.openings.map(({ object, bdf, to_ready_ns }) => ({
        name: object,
        object,
        bdf,
        values: { to_ready: to_ready_ns ?? undefined },
      }));
    case 'recording': {
      const { trace, perturbation } = statistics;
      return [
        {
          name: 'recording',
          object: '',
          bdf: '',
          values: {
            events: trace.events,
            duration: trace.duration_ns,
            share: perturbation.share,
            lost_events: perturbation.lost_events,
            waited: perturbation.waited_ns,
          },
        },
      ];
    }
  }
}

/** Each limit that is exceeded is a finding. `baseline`: the statistics of the trace that the budget names. */
export function judgeBudget(
  budget: Budget,
  statistics: Statistics,
  baseline: Statistics | undefined,
): RuleVerdict {
  const findings: Finding[] = [];
  const reasons: string[] = [];
  for (const limit of budget.limits) {
    const found = measured(statistics, limit);
    // What did not happen kept every limit, but those that wanted it to happen.
    const before = baseline === undefined ? [] : measured(baseline, limit);
    for (const bound of limit.bounds) {
      if (found.length === 0 && bound.side === 'at-least')
        findings.push(finding(limit, bound, undefined, 0, bound.value));
      for (const one of found) {
        const value = one.values[bound.statistic];
        const reference = before.find(({ name, object }) => name === one.name && object === one.object);
        const limitValue = bound.times ? scaled(reference?.values[bound.statistic], bound) : bound.value;
        if (value === undefined) continue;
        if (limitValue === undefined) {
          reasons.push(`line ${bound.line}: the baseline has no ${bound.statistic} of ${one.name}`);
          continue;
        }
        if (bound.side === 'at-most' ? value > limitValue : value < limitValue)
          findings.push(finding(limit, bound, one, value, limitValue));
      }
    }
  }
  const status = findings.length > 0 ? 'fail' : reasons.length > 0 ? 'unknown' : 'pass';
  return { rule: BUDGET_RULE, status, reasons: status === 'unknown' ? reasons : [], findings, suppressed: 0 };
}

function scaled(value: number | undefined, { value: factor }: Bound): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function finding(
  limit: Limit,
  bound: Bound,
  one: Measured | undefined,
  value: number,
  allowed: number,
): Finding {
  const { subject, name, where } = limit;
  const { statistic, side, unit, times, text, line } = bound;
  const show = (number: number): string =>
    unit === 'time'
      ? formatNs(number)
      : Number.isInteger(number)
        ? formatCount(number)
        : number.toPrecision(3);
  const narrowed = Object.entries(where).map(([key, held]) => `${key} ${held}`);
  const what = [one?.name ?? name, ...narrowed].join(', ');
  const key = [subject, one?.name ?? name, ...narrowed, statistic, side].join(' ');
  const wanted = times ? `${show(allowed)} (${text} of the baseline)` : show(allowed);
  const object = one?.object ?? '';
  const bdf = one?.bdf ?? '';
  return {
    rule: BUDGET_RULE.id,
    severity: BUDGET_RULE.severity,
    object,
    bdf,
    key,
    message: `${what}: ${statistic} is ${show(value)}, ${side === 'at-most' ? 'at most' : 'at least'} ${wanted} is allowed (line ${line} of the budget)`,
    count: 1,
    evidence: [],
    fingerprint: createHash('sha256')
      .update([BUDGET_RULE.id, bdf === '' ? object : bdf, key].join('\0'))
      .digest('hex')
      .slice(0, 16),
  };
}
