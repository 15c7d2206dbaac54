// SPDX-License-Identifier: Apache-2.0
/**
 * SARIF 2.1.0 as GitHub's code scanning accepts it. It refuses the whole file when one result has no
 * physicalLocation: a finding is at the driver's source line where that is known, else at its event in the trace,
 * whose number is the line (as in `vfiotape dump`, one line an event).
 */
import { basename } from 'node:path';
import type { Location, Log, PhysicalLocation, ReportingDescriptor, Result } from 'sarif';
import { escapeText } from '../../../abi/text.js';
import { type Rule, SEVERITIES, type Severity } from '../../check/rule.js';
import { BUDGET_RULE } from '../../performance/budget/rule.js';
import { RULES } from '../../rules/rules.js';
import type { ComplianceReport, ReportedEvent, ReportedFinding, TraceReport } from '../model.js';

const LEVELS: Readonly<Record<Severity, Result.level>> = { error: 'error', warning: 'warning', note: 'note' };
/** What GitHub sorts security alerts by, 0 to 10. */
const SECURITY: Readonly<Record<Severity, string>> = { error: '8.0', warning: '5.0', note: '2.0' };

/** Of a run; code scanning refuses a file that has more. */
const RESULTS_MAX = 25_000;

export function renderSarif(report: ComplianceReport): string {
  const used = new Set(report.reports.flatMap(({ findings }) => findings.map(({ rule }) => rule)));
  const rules = [...RULES, BUDGET_RULE].filter(({ id }) => used.has(id));
  const indexes = new Map(rules.map(({ id }, index) => [id, index]));
  const all = report.reports.flatMap((trace) =>
    trace.findings.map((finding) => ({ trace, finding, rank: SEVERITIES.indexOf(finding.severity) })),
  );
  const kept = all.length <= RESULTS_MAX ? all : all.sort((a, b) => b.rank - a.rank).slice(0, RESULTS_MAX);
  const sarif: Log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'vfiotape',
            semanticVersion: report.tool.replace(/^vfiotape /, ''),
            rules: rules.map(descriptorOf),
          },
        },
        columnKind: 'utf16CodeUnits',
        ...(kept.length < all.length && {
          invocations: [
            {
              executionSuccessful: true,
              toolExecutionNotifications: [
                {
                  level: 'warning',
                  message: { text: `${all.length - kept.length} findings of the mildest are left out` },
                },
              ],
            },
          ],
        }),
        results: kept.map(({ trace, finding }) => resultOf(trace, finding, indexes.get(finding.rule) ?? -1)),
      },
    ],
  };
  return `${JSON.stringify(sarif, null, 2)}\n`;
}

function descriptorOf(rule: Rule): ReportingDescriptor {
  const precision = { proven: 'very-high', inferred: 'high', guessed: 'medium' } as const;
  return {
    id: rule.id,
    shortDescription: { text: rule.title },
    fullDescription: { text: flat(rule.why) },
    help: { text: `${flat(rule.compliant)}\n\n${rule.sources.join('\n')}` },
    defaultConfiguration: { level: LEVELS[rule.severity] },
    properties: {
      tags: ['security', 'vfio'],
      precision: precision[rule.basis],
      'security-severity': SECURITY[rule.severity],
    },
  };
}

function resultOf(trace: TraceReport, finding: ReportedFinding, ruleIndex: number): Result {
  const [first, ...rest] = finding.evidence;
  const where = [finding.object, finding.bdf].filter((text) => text !== '').join(' ');
  const times = finding.count === 1 ? '' : ` (${finding.count} times)`;
  return {
    ruleId: finding.rule,
    ruleIndex,
    level: LEVELS[finding.severity],
    message: { text: escapeText(`${where === '' ? '' : `${where}: `}${finding.message}${times}`) },
    locations: [location(trace, first)],
    ...(rest.length > 0 && {
      relatedLocations: rest.map((event, id) => ({ id: id + 1, ...location(trace, event) })),
    }),
    // Code scanning knows an alert again by the second one only; without it each upload would be all new ones.
    partialFingerprints: {
      'vfiotape/v1': finding.fingerprint,
      primaryLocationLineHash: `${finding.fingerprint}:1`,
    },
    ...(finding.state === 'known' && { baselineState: 'unchanged' }),
    ...(finding.state === 'waived' && {
      suppressions: [{ kind: 'external', justification: escapeText(finding.waived_because ?? '') }],
    }),
  };
}

function location(trace: TraceReport, event: ReportedEvent | undefined): Location {
  const text = event === undefined ? '' : `${event.note}: event ${event.event}: ${event.text}`;
  const source = event?.source;
  const line = event === undefined ? '' : escapeText(event.text);
  const physicalLocation: PhysicalLocation =
    source === undefined
      ? {
          artifactLocation: { uri: uri(traceName(trace)) },
          region: { startLine: (event?.event ?? 0) + 1, snippet: { text: line } },
        }
      : { artifactLocation: { uri: uri(source.file) }, region: { startLine: Math.max(1, source.line) } };
  return { physicalLocation, message: { text: escapeText(text) } };
}

/** Relative, since code scanning shows what is in the repository. */
function traceName({ trace: { file } }: TraceReport): string {
  return file.startsWith('/') ? basename(file) : file.replace(/^(\.\/)+/, '');
}

/** Of a path: what may not be in a URI is escaped; a path from the root of the build is taken as it is. */
function uri(path: string): string {
  const encoded = path.split('/').map((part) => encodeURIComponent(Buffer.from(part).toString()));
  return path.startsWith('/') ? `file://${encoded.join('/')}` : encoded.join('/');
}

function flat(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}
