// SPDX-License-Identifier: Apache-2.0
/** The HTML of check and report: what a hostile trace can do in it (nothing), and that a browser shows it without complaint. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { packageRoot } from '../../abi/package-root.js';
import { HOSTILE, hostileReport, sampleReport, sampleTraceReport } from '../../analyzer/reports/fixtures.js';
import { renderHtml } from '../../analyzer/reports/formats/html.js';
import { Markup } from '../../analyzer/reports/html/markup.js';
import { SCRIPT } from '../../analyzer/reports/html/script.js';
import type { TraceHeader } from '../../traces/model.js';
import { HEADER } from '../synthetic/builder.js';
import { hostileSession } from '../synthetic/hostile.js';
import { SUMMARY, writeSession } from '../synthetic/write.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-html-'));
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const main = fileURLToPath(new URL(`../../cli/main.${extension}`, import.meta.url));
const hostileTrace = join(directory, 'hostile.vtape');
const corpus = (name: string) => join(packageRoot(), 'traces/corpus', name);

function hostileHeader(): TraceHeader {
  const evil = <T>(value: T): T =>
    (typeof value === 'string'
      ? HOSTILE
      : Array.isArray(value)
        ? [HOSTILE]
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, evil(one)]))
          : value) as T;
  return { ...HEADER, ...evil({ recorder: '', host: HEADER.host, command: [], modes: HEADER.modes }) };
}

before(async () => {
  const summary = {
    ...SUMMARY,
    stoppedBy: HOSTILE,
    losses: [
      { cause: HOSTILE, events: 1, bytes: 64, process: 1, detail: HOSTILE },
      { cause: 'unseen', events: 0, bytes: 0, process: 1, detail: HOSTILE },
    ],
  };
  await writeSession(hostileTrace, hostileSession(HOSTILE), summary, hostileHeader());
});
after(() => rmSync(directory, { recursive: true, force: true }));

function vfiotape(...words: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [...process.execArgv, main, ...words], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
}

const TAGS = new Set(
  'html head meta title style body main header footer section nav h1 h2 h3 p a b br code ul ol li span div details summary dl dt dd table thead tbody tr th td figure figcaption svg g path rect line text tspan desc'.split(
    ' ',
  ),
);
const ATTRIBUTES =
  /^(lang|charset|http-equiv|content|name|class|id|href|open|aria-label|aria-labelledby|role|xmlns|width|height|viewBox|x|y|x1|x2|y1|y2|dy|d|r|cx|cy|fill|stroke|opacity|transform|text-anchor|font-size|font-family|data-width|data-from|data-to|data-unit)$/;

const SCRIPT_ELEMENT = `<script>${SCRIPT}</script>`;

/** Each tag and attribute is one that this program writes, the script its own; text has no angle bracket. */
function assertHarmless(page: string): void {
  const [, body = ''] = page.replace(SCRIPT_ELEMENT, '').split('</style>', 2);
  const rest = body.replace(
    /<(\/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[\w:-]+(?:="[^"<>]*")?)*)\s*\/?>/g,
    (_all, _close, tag: string, attributes: string) => {
      assert.ok(TAGS.has(tag), `<${tag}>`);
      for (const [, name = '', value = ''] of attributes.matchAll(/([\w:-]+)(?:="([^"]*)")?/g)) {
        assert.match(name, ATTRIBUTES, `<${tag} ${name}>`);
        if (name === 'href') assert.match(value, /^#/);
      }
      return '';
    },
  );
  assert.doesNotMatch(rest, /[<>]/);
  assert.deepEqual(
    [...page].filter((character) => /[\p{Cc}\p{Cs}\u202e]/u.test(character) && character !== '\n'),
    [],
  );
}

test('a report stands alone, and its policy lets nothing run and nothing load', () => {
  const page = renderHtml(sampleReport());
  assert.match(page, /^<!doctype html>\n<html lang="en">/);
  assert.match(
    page,
    /<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-[^ ]+&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;">/,
  );
  assert.doesNotMatch(page, /<script|<link|<img|<iframe|https?:\/\/(?!www\.w3\.org)|url\(|@import| style=/);
  assertHarmless(page);
});

test('a report with charts lets one script run: the same in each, allowed by its hash, that writes text only', () => {
  const page = renderHtml(sampleReport(), [[{ id: 'x', title: 'x', body: Markup.trusted('') }]]);
  const scripts = [...page.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map(([, text]) => text as string);
  assert.deepEqual(scripts, [SCRIPT]);
  const hash = createHash('sha256')
    .update(scripts[0] as string)
    .digest('base64');
  const [, policy = ''] = /content="(default-src[^"]*)"/.exec(page) ?? [];
  assert.ok(policy.includes(`; script-src &#39;sha256-${hash}&#39;; `), policy);
  assert.equal(policy.match(/script-src/g)?.length, 1);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  assertHarmless(page);
  assert.doesNotMatch(
    SCRIPT,
    /<\/|<!--|innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|setTimeout|fetch|XMLHttp|import|https?:\/\/(?!www\.w3\.org\/2000\/svg')/,
  );
});

test('the verdict comes first, then findings, the device, the rules, and what was recorded', () => {
  const page = renderHtml(sampleReport());
  const places = ['>FAIL<', 'id="findings"', 'id="device"', 'id="rules"', 'id="recording"'].map((text) =>
    page.indexOf(text),
  );
  assert.ok(!places.includes(-1), String(places));
  assert.deepEqual(
    [...places].sort((a, b) => a - b),
    places,
  );
  assert.match(page, /MSI-X layout well-behaved: <span class="badge pass">yes<\/span>/);
  assert.match(page, /BAR0\+0x2000, 1040 bytes, begins at a page/);
  assert.match(page, /too short for a jump/);
  assert.match(page, /the waiver of RST-005 fits no finding/);
  assert.match(page, /\(waived: ours\)/);
  assert.match(page, /Why unknown:<\/b> the reset was not asked for/);
});

test('links lead somewhere, and ids are given once, with several traces too', () => {
  const sample = sampleReport();
  const page = renderHtml({ ...sample, reports: [sampleTraceReport(), sampleTraceReport()] });
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id as string);
  assert.equal(new Set(ids).size, ids.length);
  for (const [, target = ''] of page.matchAll(/ href="#([^"]+)"/g)) assert.ok(ids.includes(target), target);
});

test('many findings of one rule are folded into one, errors never', () => {
  const trace = sampleTraceReport();
  const [first] = trace.findings;
  const many = (severity: 'error' | 'warning' | 'note', count: number) =>
    Array.from({ length: count }, (_, i) => ({
      ...(first as (typeof trace.findings)[number]),
      severity,
      state: 'new' as const,
      fingerprint: `${severity}${i}`,
      message: `the ${severity} of place ${i}`,
    }));
  const findings = [...many('error', 5), ...many('warning', 3), ...many('note', 1234)];
  const page = renderHtml({ ...sampleReport(), reports: [{ ...trace, findings }] });
  assert.deepEqual(
    [...page.matchAll(/<b>([\d,]+ findings)<\/b>/g)].map(([, text]) => text),
    ['1,234 findings'],
  );
  for (const { fingerprint } of findings) assert.ok(page.includes(` id="${fingerprint}"`), fingerprint);
  assertHarmless(page);
});

test('hostile text stays text', () => {
  assertHarmless(renderHtml(hostileReport()));
});

test('a hostile trace, through the command, stays text in each form', () => {
  const out = join(directory, 'hostile.html');
  const { status, stderr } = vfiotape(
    'report',
    hostileTrace,
    '-o',
    out,
    '--charts',
    join(directory, 'charts'),
  );
  assert.ok(status === 0 || status === 1, stderr);
  assertHarmless(readFileSync(out, 'utf8'));
  for (const name of readdirSync(join(directory, 'charts')).filter((file) => file.endsWith('.svg'))) {
    assert.doesNotMatch(readFileSync(join(directory, 'charts', name), 'utf8'), /<script|&nbsp;/, name);
  }
  for (const format of ['text', 'json', 'sarif', 'junit', 'markdown', 'html']) {
    const { stdout } = vfiotape('check', hostileTrace, '--format', format);
    assert.notEqual(stdout, '', format);
    // JSON is data: what turns the writing direction stays in it, as it was.
    const steers = format === 'json' ? /\p{Cc}/u : /[\p{Cc}\u202e]/u;
    assert.doesNotMatch(stdout.replaceAll('\n', ''), steers, format);
  }
});

test('what was made from a trace is for its owner only, also where a file was there', () => {
  const out = join(directory, 'private.html');
  writeFileSync(out, '');
  chmodSync(out, 0o644);
  vfiotape('report', corpus('edu/group.vtape'), '-o', out, '--charts', join(directory, 'private'));
  assert.equal(statSync(out).mode & 0o777, 0o600);
  assert.equal(statSync(join(directory, 'private')).mode & 0o777, 0o700);
  for (const name of readdirSync(join(directory, 'private')))
    assert.equal(statSync(join(directory, 'private', name)).mode & 0o777, 0o600, name);
});

const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const browser = BROWSERS.find((name) => spawnSync(name, ['--version']).status === 0);

/** What the browser's console said, and the page as it understood it. */
function browse(file: string): { readonly console: readonly string[]; readonly dom: string } {
  const profile = mkdtempSync(join(tmpdir(), 'vfiotape-browser-'));
  try {
    const { stdout, stderr, status } = spawnSync(
      browser as string,
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        `--user-data-dir=${profile}`,
        '--enable-logging=stderr',
        '--dump-dom',
        pathToFileURL(file).href,
      ],
      { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 120_000 },
    );
    assert.equal(status, 0, stderr);
    return { console: stderr.split('\n').filter((line) => line.includes(':CONSOLE')), dom: stdout };
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

test('a browser opens the report of a recorded session without a complaint', (t) => {
  if (browser === undefined) return t.skip('no chromium is installed');
  const out = join(directory, 'nested.html');
  vfiotape('report', corpus('qemu/nested.vtape'), '-o', out);
  const { console, dom } = browse(out);
  assert.deepEqual(console, []);
  assert.match(dom, /<svg /);
  return undefined;
});

/** The report with a script after its own, which the page's policy is made to allow; its answer is the body's last attribute. */
function inBrowser(page: string, script: string): unknown {
  const file = join(directory, 'driven.html');
  const hash = createHash('sha256').update(script).digest('base64');
  writeFileSync(
    file,
    page
      .replace('script-src &#39;', `script-src &#39;sha256-${hash}&#39; &#39;`)
      .replace('</body>', () => `<script>${script}</script></body>`),
  );
  const { console, dom } = browse(file);
  assert.deepEqual(console, []);
  const [, answer = ''] = /<body data-answer="([^"]*)"/.exec(dom) ?? [];
  return JSON.parse(decodeURIComponent(answer));
}

/** Runs in the page: does what a person does to one chart, and says what is seen. */
const PERSON = `
const answer = {};
const picture = document.querySelector('#chart-ID .wide');
const mark = picture.querySelector('.marks rect, .marks circle');
const axis = picture.querySelector('g[data-from]');
const plot = () => axis.parentNode.getScreenCTM();
const look = () => ({
  width: mark.getBoundingClientRect().width,
  left: mark.getBoundingClientRect().left,
  ticks: [...axis.querySelectorAll('.tick text')].map((one) => one.textContent),
  zoomed: picture.classList.contains('zoomed'),
});
const send = (Kind, name, more) => {
  const box = mark.getBoundingClientRect();
  const event = new Kind(name, { bubbles: true, cancelable: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, ...more });
  mark.dispatchEvent(event);
  return event.defaultPrevented;
};
const readout = () => { const one = document.querySelector('.readout'); return one.hidden ? null : one.textContent; };
picture.scrollIntoView();
answer.title = mark.querySelector('title').textContent;
answer.first = look();
answer.plainWheelTaken = send(WheelEvent, 'wheel', { deltaY: -200 });
answer.afterPlainWheel = look();
answer.wheelTaken = send(WheelEvent, 'wheel', { deltaY: -400, ctrlKey: true });
answer.afterWheel = look();
send(PointerEvent, 'pointerdown', { button: 0, buttons: 1, clientX: plot().e + 300 });
send(PointerEvent, 'pointermove', { buttons: 1, clientX: plot().e + 200 });
send(PointerEvent, 'pointerup', {});
answer.afterDrag = look();
send(PointerEvent, 'pointermove', {});
answer.hover = readout();
answer.nativeTitle = mark.querySelector('title') !== null;
picture.dispatchEvent(new PointerEvent('pointerleave'));
answer.afterLeave = readout();
answer.titleIsBack = mark.querySelector('title').textContent;
dispatchEvent(new Event('beforeprint'));
answer.onPaper = look();
dispatchEvent(new Event('afterprint'));
answer.afterPaper = look();
send(MouseEvent, 'dblclick', {});
answer.afterReset = look();
for (const key of ['+', '+', 'ArrowRight']) picture.dispatchEvent(new KeyboardEvent('keydown', { key, cancelable: true }));
answer.afterKeys = look();
picture.dispatchEvent(new KeyboardEvent('keydown', { key: '0', cancelable: true }));
answer.afterNought = look();
picture.querySelector('.tools button').click();
answer.afterButton = look();
document.body.setAttribute('data-answer', encodeURIComponent(JSON.stringify(answer)));
`;

interface Look {
  readonly width: number;
  readonly left: number;
  readonly ticks: readonly string[];
  readonly zoomed: boolean;
}

test('in a browser charts are zoomed by wheel, keys and buttons, moved, read out, and whole on paper', (t) => {
  if (browser === undefined) return t.skip('no chromium is installed');
  const out = join(directory, 'zoomed.html');
  vfiotape('report', corpus('qemu/nested.vtape'), '-o', out);
  const page = readFileSync(out, 'utf8');
  for (const chart of ['phases', 'dma-memory', 'rate', 'lanes', 'latency', 'dma-iova']) {
    const answer = inBrowser(page, PERSON.replace('ID', chart)) as Record<string, Look> & {
      readonly [text in 'title' | 'hover' | 'titleIsBack']: string;
    } & Record<'plainWheelTaken' | 'wheelTaken' | 'nativeTitle' | 'afterLeave', unknown>;
    const { first, afterWheel, afterDrag, afterKeys } = answer as Record<string, Look> as {
      readonly [name in 'first' | 'afterWheel' | 'afterDrag' | 'afterKeys']: Look;
    };
    const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1 + 0.01 * b, `${chart}: ${a}, ${b}`);
    assert.equal(answer.plainWheelTaken, false, chart);
    assert.deepEqual(answer['afterPlainWheel'], first, chart);
    assert.equal(answer.wheelTaken, true, chart);
    near(afterWheel.width, 4 * first.width);
    assert.notDeepEqual(afterWheel.ticks, first.ticks, chart);
    assert.ok(afterWheel.ticks.length > 1, chart);
    assert.equal(afterWheel.zoomed, true);
    assert.ok(afterDrag.left < afterWheel.left, chart);
    near(afterDrag.width, afterWheel.width);
    assert.ok(answer.hover.startsWith(answer.title), `${chart}: ${answer.hover}`);
    assert.equal(answer.nativeTitle, false, chart);
    assert.equal(answer.afterLeave, null, chart);
    assert.equal(answer.titleIsBack, answer.title, chart);
    assert.deepEqual(answer['onPaper'], { ...first, zoomed: true }, chart);
    assert.deepEqual(answer['afterPaper'], afterDrag, chart);
    assert.deepEqual(answer['afterReset'], first, chart);
    near(afterKeys.width, 1.5 * 1.5 * first.width);
    assert.deepEqual(answer['afterNought'], first, chart);
    near((answer['afterButton'] as Look).width, 1.5 * first.width);
  }
  return undefined;
});

test('a browser finds nothing to run in the report of a hostile trace', (t) => {
  if (browser === undefined) return t.skip('no chromium is installed');
  const out = join(directory, 'hostile.html');
  vfiotape('report', hostileTrace, '-o', out);
  const { console, dom } = browse(out);
  assert.deepEqual(console, []);
  assert.ok(dom.includes(SCRIPT_ELEMENT));
  assert.doesNotMatch(dom.replace(SCRIPT_ELEMENT, ''), /<script|<img| on[a-z]+=/);
  return undefined;
});
