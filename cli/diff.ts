// SPDX-License-Identifier: Apache-2.0

import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { type Difference, type DiffResult, diffTraces } from '../analyzer/diff/diff.js';
import { durationText } from '../session/describe/time.js';
import type { Trace } from '../traces/reader.js';
import { ExitStatus } from './exit-status.js';
import { reportDamages, withWholeTrace } from './input.js';
import { print } from './output.js';
import { defineVerb } from './verb.js';

const SHOWN = 100;
const SIGNS: Readonly<Record<Difference['kind'], string>> = { added: '+', removed: '-', changed: '~' };

export const verb = defineVerb({
  usage: 'diff [--json] A B',
  summary:
    'Two sessions of one driver: which accesses the second one has more, less, or with other values. Descriptors, addresses, ids and times are left out. The exit status is 1 when they differ.',
  operands: { least: 2, most: 2 },
  options: { json: { type: 'boolean', describe: 'one JSON object (docs/diff.md)' } },
  examples: [['vfiotape diff old.vtape new.vtape', 'what a new version of the driver does otherwise']],
  async run({ operands, json }) {
    const [first = '', second = ''] = operands;
    if (first === '-' && second === '-')
      throw new UserError('diff: only one of the two can be standard input');
    return await withWholeTrace(first, (a) =>
      withWholeTrace(second, async (b) => {
        const result = diffTraces(a, b);
        const remark = otherDevice(a, b);
        if (remark !== undefined) process.stderr.write(`vfiotape: ${escapeText(remark)}\n`);
        await print(
          json === true ? `${JSON.stringify(diffJson(result), null, 2)}\n` : diffText(a.name, b.name, result),
        );
        reportDamages(a);
        reportDamages(b);
        return differs(result) ? ExitStatus.FINDINGS : ExitStatus.OK;
      }),
    );
  },
});

/** A session of another device differs in everything, and that is not its driver's doing. */
function otherDevice(a: Trace, b: Trace): string | undefined {
  const [one, other] = [a, b].map(({ definitions }) => [...definitions.devices.values()][0]);
  if (one === undefined || other === undefined || one.vendor === 0 || other.vendor === 0) return undefined;
  if (one.vendor === other.vendor && one.device === other.device) return undefined;
  const ids = ({ vendor, device }: typeof one): string =>
    [vendor, device].map((id) => id.toString(16).padStart(4, '0')).join(':');
  return `they are sessions of two kinds of device, ${ids(one)} and ${ids(other)}`;
}

function differs({ counts }: DiffResult): boolean {
  return counts.added + counts.removed + counts.changed > 0;
}

function diffText(a: string, b: string, result: DiffResult): string {
  const { same, counts, differences, interrupts, phases } = result;
  const found = counts.added + counts.removed + counts.changed;
  const lines = [
    `a  ${escapeText(a)}`,
    `b  ${escapeText(b)}`,
    found === 0
      ? `the same: ${same.toLocaleString('en-US')} calls and accesses`
      : `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed, ${same.toLocaleString('en-US')} the same`,
  ];
  if (found > 0) lines.push('       a       b');
  let phase = '';
  for (const difference of differences.slice(0, SHOWN)) {
    if (difference.phase !== phase) {
      phase = difference.phase;
      lines.push(phase);
    }
    lines.push(line(difference));
  }
  if (found > SHOWN) lines.push(`… and ${found - SHOWN} more (--json has the first 1,000)`);
  lines.push('time, a and b');
  for (const { phase: name, a: one, b: other } of phases)
    lines.push(`  ${name.padEnd(9)} ${durationText(one).padStart(12)} ${durationText(other).padStart(12)}`);
  for (const { vector, a: one, b: other } of interrupts)
    lines.push(`  ${vector}: ${one} and ${other} interrupts`);
  return `${lines.join('\n')}\n`;
}

function line({ kind, what, eventA, eventB, a, b }: Difference): string {
  const place = [eventA, eventB].map((event) => String(event ?? '').padStart(7)).join(' ');
  const value = kind === 'changed' ? `: ${a} -> ${b}` : (a ?? b ?? '') === '' ? '' : ` = ${a ?? b}`;
  return `${SIGNS[kind]}${place}  ${escapeText(what)}${escapeText(value)}`;
}

function diffJson({ same, counts, differences, interrupts, phases }: DiffResult): unknown {
  return {
    same,
    counts,
    differences: differences.map(({ kind, phase, what, eventA, eventB, a, b }) => ({
      kind,
      phase,
      what,
      event_a: eventA ?? null,
      event_b: eventB ?? null,
      a: a ?? null,
      b: b ?? null,
    })),
    interrupts,
    phases: phases.map(({ phase, a, b }) => ({ phase, a_ns: Math.round(a), b_ns: Math.round(b) })),
  };
}
