// SPDX-License-Identifier: Apache-2.0
/** What a replay found, for a person and for programs. */
import { countText, escapeText } from '../abi/text.js';
import type { Divergence, ReplayReport } from '../replayer/replay/divergence.js';
import { durationText } from '../session/describe/time.js';

const DIVERGENCES_SHOWN = 50;

function total(counts: ReplayReport['counts']): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export function reportText(
  name: string,
  report: ReplayReport,
  dryRun: boolean,
  hints: readonly string[],
): string {
  const { target, operations, compared, masked, divergences, counts, omissions, stopped, durationNs } =
    report;
  const found = total(counts);
  const kinds = Object.entries(counts).filter(([, count]) => count > 0);
  const lines = [
    dryRun
      ? `${escapeText(name)} on ${escapeText(target)}: a dry run, nothing was done`
      : `${escapeText(name)} on ${escapeText(target)}: ${found === 0 ? 'no divergence' : countText(found, 'divergence')}`,
    dryRun
      ? `  ${operations.toLocaleString('en-US')} operations would be done`
      : `  ${operations.toLocaleString('en-US')} operations in ${durationText(durationNs)}, ${compared.toLocaleString('en-US')} answers compared${masked > 0 ? `, ${masked} masked` : ''}`,
    ...(stopped === undefined ? [] : [`  stopped ${stopped}`]),
    ...omissions.map(
      ({ reason, count, event }) => `  left out: ${count} × ${escapeText(reason)} (first: event ${event})`,
    ),
    ...hints.map((hint) => `  ${hint}`),
    ...(kinds.length === 0 ? [] : [`  ${kinds.map(([kind, count]) => `${count} ${kind}`).join(', ')}`]),
    ...divergences.slice(0, DIVERGENCES_SHOWN).map(line),
    ...(found > DIVERGENCES_SHOWN
      ? [`  … and ${found - DIVERGENCES_SHOWN} more (--json has the first 1,000)`]
      : []),
  ];
  return `${lines.join('\n')}\n`;
}

function line({ event, object, what, recorded, seen, kind }: Divergence): string {
  return `${String(event).padStart(9)}  ${object}  ${kind}  ${what}: recorded ${recorded}, seen ${seen}`;
}

export function reportJson(report: ReplayReport): Readonly<Record<string, unknown>> {
  const {
    target,
    events,
    operations,
    compared,
    masked,
    divergences,
    counts,
    omissions,
    stopped,
    durationNs,
  } = report;
  return {
    target,
    events,
    operations,
    compared,
    masked,
    duration_ns: Math.round(durationNs),
    stopped: stopped ?? null,
    counts,
    omissions,
    divergences,
  };
}
