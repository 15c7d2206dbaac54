// SPDX-License-Identifier: Apache-2.0
/** A rule as text: for a terminal, for docs/rules, and as data. */
import { wrapText } from '../../abi/text.js';
import type { Rule } from '../check/rule.js';

const KERNEL: Readonly<Record<Rule['kernel'], string>> = {
  refuses: 'refuses it with an errno',
  alters: 'drops or alters it in silence',
  allows: 'lets it pass',
};

const BASIS: Readonly<Record<Rule['basis'], string>> = {
  proven: 'proven by the recorded events alone',
  inferred: 'inferred, with knowledge of the device',
  guessed: 'guessed from a pattern',
};

function isDecided({ watch }: Rule): boolean {
  return typeof watch !== 'string';
}

/** A line for each. */
export function rulesTable(rules: readonly Rule[]): string {
  const lines = rules.map((rule) => {
    const decided = isDecided(rule) ? '' : '  (not decided)';
    return `${rule.id.padEnd(8)}  ${rule.severity.padEnd(7)}  ${rule.title}${decided}`;
  });
  const decided = rules.filter(isDecided).length;
  lines.push('', `${rules.length} rules, ${decided} of them decided; vfiotape rules RULE-ID explains one`);
  return `${lines.join('\n')}\n`;
}

type Section = readonly [heading: string, text: string];

export function ruleSections(rule: Rule): readonly Section[] {
  const profiles = Object.entries(rule.profiles ?? {}).map(
    ([profile, severity]) => `${profile}: ${severity}`,
  );
  return [
    ['Why', flat(rule.why)],
    ['Sources', rule.sources.map((source) => `- ${source}`).join('\n')],
    ['The kernel', KERNEL[rule.kernel]],
    ['How it is decided', typeof rule.watch === 'string' ? `It is not: ${rule.watch}` : flat(rule.decided)],
    ['Certainty', BASIS[rule.basis]],
    ['When it is wrong', flat(rule.wrongWhen)],
    ['A compliant driver', flat(rule.compliant)],
    ...(profiles.length === 0 ? [] : ([['In other profiles', profiles.join(', ')]] as const)),
  ];
}

const WIDTH = 100;

export function ruleText(rule: Rule): string {
  const parts = ruleSections(rule).map(
    ([heading, text]) =>
      `${heading}\n${text
        .split('\n')
        .flatMap((line) => wrapText(line, ({ length }) => length <= WIDTH - 2))
        .map((line) => `  ${line}`)
        .join('\n')}`,
  );
  return `${rule.id}  ${rule.severity}\n${rule.title}\n\n${parts.join('\n\n')}\n`;
}

export function ruleMarkdown(rule: Rule): string {
  const parts = ruleSections(rule).map(([heading, text]) => `## ${heading}\n\n${text}`);
  return `# ${rule.id}: ${rule.title}\n\nSeverity: **${rule.severity}**\n\n${parts.join('\n\n')}\n`;
}

/** The page that leads to the others. */
export function catalogueMarkdown(rules: readonly Rule[]): string {
  const rows = rules.map(
    (rule) =>
      `| [${rule.id}](${rule.id}.md) | ${rule.severity} | ${rule.title.replaceAll('|', '\\|')} | ${KERNEL[rule.kernel]} | ${isDecided(rule) ? rule.basis : 'not decided'} |`,
  );
  return `# The rules

Made from \`analyzer/rules/\` by \`VFIOTAPE_UPDATE=1 npm test -- analyzer/rules/docs\`; \`vfiotape rules RULE-ID\` shows the same.

| rule | severity | a driver | the kernel | certainty |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

export function ruleJson(rule: Rule): Readonly<Record<string, unknown>> {
  const { id, title, severity, profiles = {}, kernel, basis, sources } = rule;
  return {
    id,
    title,
    severity,
    profiles,
    kernel,
    basis,
    why: flat(rule.why),
    sources,
    ...(typeof rule.watch === 'string' ? { undecidable: rule.watch } : { decided: flat(rule.decided) }),
    wrong_when: flat(rule.wrongWhen),
    compliant: flat(rule.compliant),
  };
}

function flat(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
