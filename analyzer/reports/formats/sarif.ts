// SPDX-License-Identifier: Apache-2.0
/**
 * SARIF 2.1.0 as GitHub's code scanning accepts it. It refuses the whole file when one result has no
 * physicalLocation: a finding is at the driver's source line where that is known, else at its event in the trace,
 * whose number is the line (as in `vfiotape dump`, one line an event).
 */
import { basename } from 'node:path';
import { escapeText } from '../../../abi/text.js';
import type { Severity } from '../../check/rule.js';
import { RULES } from '../../rules/rules.js';
import type { ComplianceReport, ReportedEvent, ReportedFinding, TraceReport } from '../model.js';

const LEVELS: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warning', note: 'note' };
/** What GitHub sorts security alerts by, 0 to 10. */
const SECURITY: Readonly<Record<Severity, string>> = { error: '8.0', warning: '5.0', note: '2.0' };

export function renderSarif(report: ComplianceReport): string {
  const used = new Set(report.reports.flatMap(({ findings }) => findings.map(({ rule }) => rule)));
  const rules = RULES.filter(({ id }) => used.has(id));
  const indexes = new Map(rules.map(({ id }, index) => [id, index]));
  const sarif = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'vfiotape',
            semanticVersion: report.tool.replace(/^vfiotape /, ''),
            rules: rules.map((rule) => ({
              id: rule.id,
              shortDescription: { text: rule.title },
              fullDescription: { text: flat(rule.why) },
              help: { text: `${flat(rule.compliant)}\n\n${rule.sources.join('\n')}` },
              defaultConfiguration: { level: LEVELS[rule.severity] },
              properties: {
                tags: ['security', 'vfio'],
                precision:
                  rule.basis === 'proven' ? 'very-high' : rule.basis === 'inferred' ? 'high' : 'medium',
                'security-severity': SECURITY[rule.severity],
              },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: report.reports.flatMap((trace) =>
          trace.findings.map((finding) => resultOf(trace, finding, indexes.get(finding.rule) ?? -1)),
        ),
      },
    ],
  };
  return `${JSON.stringify(sarif, null, 2)}\n`;
}

function resultOf(trace: TraceReport, finding: ReportedFinding, ruleIndex: number): unknown {
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
    partialFingerprints: { 'vfiotape/v1': finding.fingerprint },
    ...(finding.state === 'known' && { baselineState: 'unchanged' }),
    ...(finding.state === 'waived' && {
      suppressions: [{ kind: 'external', justification: escapeText(finding.waived_because ?? '') }],
    }),
  };
}

function location(trace: TraceReport, event: ReportedEvent | undefined): object {
  const text = event === undefined ? '' : `${event.note}: event ${event.event}: ${event.text}`;
  const source = event?.source;
  const line = event === undefined ? '' : escapeText(event.text);
  const physicalLocation =
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
