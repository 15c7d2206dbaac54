// SPDX-License-Identifier: Apache-2.0
/** `check` and `report` as a shell sees them: what fails, what is forgiven, and every wrong way. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../abi/package-root.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-check-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const main = fileURLToPath(new URL(`../../cli/main.${extension}`, import.meta.url));
const trace = join(directory, 't.vtape');
copyFileSync(join(packageRoot(), 'traces/corpus/qemu/io.vtape'), trace);

function vfiotape(words: readonly string[], input?: Uint8Array) {
  return spawnSync(process.execPath, [...process.execArgv, main, ...words], {
    encoding: 'utf8',
    cwd: directory,
    ...(input && { input }),
  });
}

function file(name: string, content: unknown): string {
  writeFileSync(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
  return name;
}

interface Finding {
  readonly rule: string;
  readonly state: string;
  readonly fingerprint: string;
}

function findings(words: readonly string[]): readonly Finding[] {
  const { stdout } = vfiotape(['check', '--json', 't.vtape', ...words]);
  return (JSON.parse(stdout) as { reports: [{ findings: readonly Finding[] }] }).reports[0].findings;
}

const waiver = { rule: 'RST-001', reason: 'ours', expires: '2999-12-31' };

test('--fail-on decides the exit status', () => {
  assert.equal(vfiotape(['check', 't.vtape', '--fail-on', 'note']).status, 1);
  assert.equal(vfiotape(['check', 't.vtape', '--fail-on', 'never']).status, 0);
  const { status, stdout } = vfiotape(['check', 't.vtape', 't.vtape', '--fail-on', 'never']);
  assert.equal(status, 0);
  assert.equal(stdout.match(/^t\.vtape: /gm)?.length, 2);
});

test('with a baseline only what is new fails', () => {
  file('known.json', vfiotape(['check', '--json', 't.vtape']).stdout);
  assert.equal(vfiotape(['check', 't.vtape', '--fail-on', 'note', '--baseline', 'known.json']).status, 0);
  assert.ok(findings(['--baseline', 'known.json']).every(({ state }) => state === 'known'));
});

test('a waiver forgives what it names, for as long as it says', () => {
  const state = (waivers: readonly unknown[]) =>
    findings(['--waivers', file('w.json', { waivers })]).find(({ rule }) => rule === 'RST-001')?.state;
  const { fingerprint = '' } = findings([]).find(({ rule }) => rule === 'RST-001') ?? {};
  assert.equal(state([waiver]), 'waived');
  assert.equal(state([{ ...waiver, device: '0000:00:03.0', fingerprint }]), 'waived');
  assert.equal(state([{ ...waiver, device: '0000:99:00.0' }]), 'new');
  assert.equal(state([{ ...waiver, fingerprint: 'f'.repeat(16) }]), 'new');
  assert.equal(state([{ ...waiver, expires: '2020-02-29' }]), 'new');
});

test('waivers that have expired or fit nothing are said', () => {
  const waivers = [
    { ...waiver, expires: '2020-02-29' },
    { ...waiver, device: '0000:99:00.0' },
  ];
  const { stdout } = vfiotape(['check', 't.vtape', '--waivers', file('w.json', { waivers })]);
  assert.match(stdout, /^note: the waiver of RST-001 expired on 2020-02-29$/m);
  assert.match(stdout, /^note: the waiver of RST-001 for 0000:99:00\.0 fits no finding$/m);
});

test('a file of an editor that begins it with a byte order mark is read', () => {
  const words = ['--waivers', file('bom.json', `\ufeff${JSON.stringify({ waivers: [waiver] })}`)];
  assert.equal(findings(words).find(({ rule }) => rule === 'RST-001')?.state, 'waived');
});

test('standard input is named as such', () => {
  const { stdout } = vfiotape(['check', '-'], readFileSync(trace));
  assert.match(stdout, /^standard input: /);
});

const one = (change: object) => ({ waivers: [{ ...waiver, ...change }] });
const WRONG: readonly (readonly [words: readonly string[], message: RegExp])[] = [
  [[], /too few arguments/],
  [['none.vtape'], /none\.vtape: can't be opened: no such file/],
  [['t.vtape', '--fail-on', 'bad'], /Choices: "note", "warning", "error", "never"/],
  [['t.vtape', '--json', '--format', 'text'], /contradict each other/],
  [['t.vtape', '-o', '.'], /can't be written/],
  [['t.vtape', '-o', 't.vtape'], /would overwrite t\.vtape/],
  [['-', '-'], /standard input can be read once only/],
  [['t.vtape', '--baseline', 'none.json'], /--baseline none\.json can't be read/],
  [['t.vtape', '--baseline', file('no.json', 'no\n')], /no\.json is no JSON .*--baseline wants/],
  [['t.vtape', '--baseline', file('sarif.json', { runs: [] })], /was not written by vfiotape check --json/],
  [['t.vtape', '--baseline', file('odd.json', { reports: [{ findings: [{}] }] })], /without a fingerprint/],
  [['t.vtape', '--waivers', 'no.json'], /no\.json is no JSON .*docs\/check\.md/],
  [['t.vtape', '--waivers', file('list.json', [])], /"waivers" must be a list/],
  [['t.vtape', '--waivers', file('text.json', { waivers: ['x'] })], /waiver 1 must be an object/],
  [['t.vtape', '--waivers', file('key.json', one({ resaon: 'x' }))], /unknown key 'resaon'/],
  [['t.vtape', '--waivers', file('rule.json', one({ rule: 'RST-999' }))], /no rule 'RST-999'/],
  [['t.vtape', '--waivers', file('blank.json', one({ reason: ' ' }))], /'reason' must be a text/],
  [
    ['t.vtape', '--waivers', file('day.json', one({ expires: '2027-02-31' }))],
    /must be a day like 2027-01-31/,
  ],
  [['t.vtape', '--waivers', file('lacks.json', { waivers: [{ rule: 'RST-001' }] })], /lacks 'expires'/],
];
for (const verb of ['check', 'report']) {
  test(`${verb}: mistakes are one line and status 2, and nothing is written`, () => {
    for (const [words, message] of WRONG) {
      if (verb === 'report' && (words.includes('--json') || words[1] === '-')) continue;
      const { status, stdout, stderr } = vfiotape([verb, ...words]);
      assert.equal(status, 2, `${words.join(' ')}: ${stderr}`);
      assert.equal(stdout, '', words.join(' '));
      assert.match(stderr, /^vfiotape: [^\n]*\n$/, words.join(' '));
      assert.match(stderr, message, words.join(' '));
    }
    assert.deepEqual(readFileSync(trace), readFileSync(join(packageRoot(), 'traces/corpus/qemu/io.vtape')));
  });
}

test('report: its charts’ directory may be there, but must be one', () => {
  const { status, stderr } = vfiotape(['report', 't.vtape', '-o', 'r.html', '--charts', 't.vtape']);
  assert.equal(status, 2);
  assert.match(stderr, /^vfiotape: --charts t\.vtape can't be made: /);
});
