// SPDX-License-Identifier: Apache-2.0
/**
 * One report in each of its forms, compared with the files beside this one. VFIOTAPE_UPDATE=1 npm test -- test/reports
 * writes those: look at the difference before you commit it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { hostileReport, sampleReport } from '../../analyzer/reports/fixtures.js';
import { renderJson } from '../../analyzer/reports/formats/json.js';
import { renderJunit } from '../../analyzer/reports/formats/junit.js';
import { renderMarkdown } from '../../analyzer/reports/formats/markdown.js';
import { renderSarif } from '../../analyzer/reports/formats/sarif.js';
import { renderText } from '../../analyzer/reports/formats/text.js';

const FORMS = [
  ['text.golden', renderText],
  ['json.golden', renderJson],
  ['markdown.golden', renderMarkdown],
  ['junit.golden', renderJunit],
  ['sarif.golden', renderSarif],
] as const;

for (const [name, render] of FORMS) {
  test(`a report as ${name}`, () => {
    const path = join(packageRoot(), 'test/reports', name);
    const actual = render(sampleReport());
    if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(path, actual);
    assert.ok(existsSync(path), `${name} is missing; VFIOTAPE_UPDATE=1 npm test -- test/reports writes it`);
    assert.equal(
      actual,
      readFileSync(path, 'utf8'),
      `${name} differs; VFIOTAPE_UPDATE=1 npm test -- test/reports rewrites it`,
    );
  });
}

/** What a terminal would obey, but for the end of a line. */
function controls(text: string): readonly string[] {
  return [...text].filter((character) => {
    const code = character.codePointAt(0) as number;
    return code !== 0x0a && (code < 0x20 || (code >= 0x7f && code < 0xa0) || code === 0x202e);
  });
}

test('a hostile trace sends nothing to the terminal', () => {
  assert.deepEqual(controls(renderText(hostileReport())), []);
});

test('a hostile trace makes no markup, no table cell and ends no fence of Markdown', () => {
  const markdown = renderMarkdown(hostileReport());
  assert.deepEqual(controls(markdown), []);
  const fenced = /^(`{3,})text$[\s\S]*?^\1$/gm;
  const prose = markdown.replace(fenced, '').replace(/<\/?(details|summary|sub)>|^> /gm, '');
  assert.doesNotMatch(prose, /[<>`]/);
  for (const line of prose.split('\n').filter((text) => text.startsWith('| '))) {
    assert.ok([2, 3, 4, 5].includes(line.split(' | ').length), line);
  }
});

/** What Jenkins' schema (xunit-plugin, junit-10.xsd) lets an element have; GitLab reads a part of it. */
const JENKINS: Readonly<Record<string, readonly string[]>> = {
  testsuites: ['name', 'tests', 'failures', 'errors', 'time'],
  testsuite: ['name', 'tests', 'failures', 'errors', 'skipped', 'timestamp', 'hostname', 'time'],
  testcase: ['classname', 'name', 'time'],
  failure: ['type', 'message'],
  skipped: ['message'],
  'system-out': [],
};

test('a hostile trace leaves the XML well formed, and as Jenkins has it', () => {
  const xml = renderJunit(hostileReport());
  const tags = xml.replace(/<\?xml [^>]*\?>/, '').match(/<[^>]*>/g) ?? [];
  const open: string[] = [];
  for (const tag of tags) {
    const [, close, name = '', attributes = '', empty] =
      /^<(\/?)([a-z-]+)((?: [a-z]+="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)(\/?)>$/.exec(tag) ?? [];
    assert.notEqual(name, '', tag);
    if (close !== '/') {
      const allowed = JENKINS[name] ?? [];
      for (const [, attribute = ''] of attributes.matchAll(/ ([a-z]+)="/g))
        assert.ok(allowed.includes(attribute), tag);
    }
    if (close === '/') assert.equal(open.pop(), name);
    else if (empty !== '/') open.push(name);
    assert.ok(close !== '/' || attributes === '', tag);
  }
  assert.deepEqual(open, []);
  assert.deepEqual(
    [...xml].filter((character) => (character.codePointAt(0) as number) < 0x20 && character !== '\n'),
    [],
  );
});

test('an XML parser reads the JUnit of a hostile trace', (t) => {
  if (spawnSync('xmllint', ['--version']).status !== 0)
    return t.skip('xmllint is not installed (Debian: libxml2-utils)');
  for (const report of [sampleReport(), hostileReport()]) {
    const { status, stderr } = spawnSync('xmllint', ['--noout', '-'], {
      input: renderJunit(report),
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  }
  return undefined;
});

test('SARIF keeps to what code scanning takes of one run, the worst first, and says what it left out', () => {
  const sample = sampleReport();
  const [trace] = sample.reports;
  const [error, , , note] = trace?.findings ?? [];
  assert.ok(trace !== undefined && error !== undefined && note !== undefined);
  const findings = [...new Array<typeof note>(25_000).fill(note), error];
  const [run] = (JSON.parse(renderSarif({ ...sample, reports: [{ ...trace, findings }] })) as { runs: [Run] })
    .runs;
  assert.equal(run.results.length, 25_000);
  assert.equal(run.results[0]?.level, 'error');
  assert.match(JSON.stringify(run.invocations), /1 findings of the mildest are left out/);
});

interface Run {
  readonly results: readonly { readonly level: string }[];
  readonly invocations: unknown;
}

interface SarifLocation {
  readonly physicalLocation: {
    readonly artifactLocation: { readonly uri: string };
    readonly region: { readonly startLine: number };
  };
}
interface SarifResult {
  readonly ruleId: string;
  readonly ruleIndex: number;
  readonly level: string;
  readonly message: { readonly text: string };
  readonly locations: readonly SarifLocation[];
  readonly partialFingerprints: Readonly<Record<string, string>>;
}

test('code scanning takes the SARIF: each result has one physical location, a rule and a fingerprint', () => {
  for (const report of [sampleReport(), hostileReport()]) {
    const { version, runs } = JSON.parse(renderSarif(report)) as {
      readonly version: string;
      readonly runs: readonly [
        {
          readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
          readonly results: readonly SarifResult[];
        },
      ];
    };
    assert.equal(version, '2.1.0');
    const [{ tool, results }] = runs;
    assert.ok(results.length > 0);
    for (const { ruleId, ruleIndex, level, message, locations, partialFingerprints } of results) {
      assert.equal(tool.driver.rules[ruleIndex]?.id, ruleId);
      assert.ok(['error', 'warning', 'note'].includes(level));
      assert.notEqual(message.text, '');
      assert.equal(locations.length, 1);
      const { artifactLocation, region } = (locations[0] as SarifLocation).physicalLocation;
      assert.match(artifactLocation.uri, /^[A-Za-z0-9\-._~!$&'()*+,;=:@%/]+$/);
      assert.ok(region.startLine >= 1);
      assert.match(Object.values(partialFingerprints)[0] ?? '', /^[0-9a-f]{16}$/);
    }
  }
});

test('what was waived or known before does not fail a suite', () => {
  const sample = sampleReport();
  const [trace] = sample.reports;
  assert.ok(trace);
  const findings = trace.findings.map((finding) => ({ ...finding, state: 'known' as const }));
  assert.match(renderJunit({ ...sample, reports: [{ ...trace, findings }] }), /tests="4" failures="0"/);
});
