// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { renderHtml } from '../analyzer/reports/formats/html.js';
import { renderJson } from '../analyzer/reports/formats/json.js';
import { renderJunit } from '../analyzer/reports/formats/junit.js';
import { renderMarkdown } from '../analyzer/reports/formats/markdown.js';
import { renderSarif } from '../analyzer/reports/formats/sarif.js';
import { renderText } from '../analyzer/reports/formats/text.js';
import type { ComplianceReport } from '../analyzer/reports/model.js';
import { COMPLIANCE_OPTIONS, judge, refuseOverwriting } from './compliance.js';
import { ExitStatus } from './exit-status.js';
import { print, writePrivate } from './output.js';
import { defineVerb } from './verb.js';

const FORMATS = {
  text: renderText,
  json: renderJson,
  sarif: renderSarif,
  junit: renderJunit,
  markdown: renderMarkdown,
  html: (report) => renderHtml(report),
} as const satisfies Readonly<Record<string, (report: ComplianceReport) => string>>;
type Format = keyof typeof FORMATS;

export const verb = defineVerb({
  usage: 'check [OPTIONS] TRACE…',
  summary:
    'Holds traces against the rules of VFIO and PCI. The exit status is 1 when there is a finding at or above --fail-on. TRACE may be - for standard input.',
  operands: { least: 1, most: Number.MAX_SAFE_INTEGER },
  options: {
    ...COMPLIANCE_OPTIONS,
    format: { choices: Object.keys(FORMATS) as readonly Format[], describe: 'text unless given' },
    json: { type: 'boolean', describe: 'the same as --format json (docs/check-json.md)' },
    output: { alias: 'o', type: 'string', describe: 'a file for it, instead of standard output' },
  },
  examples: [
    ['vfiotape check t.vtape', 'what a person reads'],
    ['vfiotape check --format sarif -o t.sarif t.vtape', 'for code scanning'],
    ['vfiotape check --baseline known.json --fail-on warning t.vtape', 'CI that fails on what is new'],
    ['vfiotape check --budget budget.yaml t.vtape', 'CI that fails when a driver gets slower'],
    ['vfiotape rules RST-001', 'what a rule means'],
  ],
  async run({ operands, format, json, output, ...compliance }) {
    if (json === true && format !== undefined && format !== 'json')
      throw new UserError(`check: --json and --format ${format} contradict each other; give one of them`);
    refuseOverwriting(output, [...operands, compliance.waivers, compliance.baseline]);
    const report = await judge(operands, compliance);
    const text = FORMATS[format ?? (json === true ? 'json' : 'text')](report);
    if (output === undefined) await print(text);
    else writePrivate(output, text);
    return report.verdict === 'pass' ? ExitStatus.OK : ExitStatus.FINDINGS;
  },
});
