// SPDX-License-Identifier: Apache-2.0
/**
 * The only script of a report, the same in each: charts are zoomed and moved along their bottom axis, and the mark under
 * the pointer is read out. It holds nothing of a trace, and what it reads of the page it writes as text only. Without it,
 * and on paper, the page is whole.
 *
 * `marksOf` and `describeAxis` (charts/frame/marks.ts) left in a picture what it goes by: `svg.marks > g` are stretched
 * by a transform, and the ticks of the `g[data-from]` that follows them are drawn anew.
 */
export const SCRIPT = String.raw`'use strict';
(() => {
const SVG = 'http://www.w3.org/2000/svg';
const MOST = 1000;
const STEP = 1.5;
const TIMES = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']];
const number = (value, decimals) =>
  value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
const decimalsOf = (step) => Math.min(9, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
const time = (ns) => {
  const [scale, name] = TIMES.find(([one]) => ns >= one) ?? TIMES[3];
  return String(Number((ns / scale).toPrecision(4))) + ' ' + name;
};
/** Round numbers from a to b, about so many. */
const round = (a, b, count) => {
  const rough = (b - a) / count;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * ten >= rough * 0.999) * ten;
  const values = [];
  for (let n = Math.ceil(a / step - 1e-9); n * step <= b + step * 1e-9; n++) values.push(n * step);
  return { values, step };
};

/** Marks and the axis that they share: one is zoomed apart from the other. */
class Panel {
  constructor(axis, marks) {
    this.axis = axis;
    this.marks = marks;
    this.layer = axis.parentNode;
    const { width, from, to, unit } = axis.dataset;
    this.width = Number(width);
    this.log = unit === 'log';
    this.unit = unit;
    this.from = this.log ? Math.log10(Number(from)) : Number(from);
    this.to = this.log ? Math.log10(Number(to)) : Number(to);
    this.ticks = [...axis.querySelectorAll('.tick')];
    this.circles = marks.flatMap((one) => [...one.querySelectorAll('circle')]);
    this.k = 1;
    this.t = 0;
  }
  /** Where the pointer is along the axis; the plot's own units. */
  place(clientX) {
    const { a, e } = this.layer.getScreenCTM();
    return (clientX - e) / a;
  }
  /** What the axis says there; undefined beside the plot. */
  text(clientX) {
    const x = this.place(clientX);
    if (x < 0 || x > this.width) return undefined;
    const span = this.to - this.from;
    const value = this.from + ((x - this.t) / this.k / this.width) * span;
    if (this.log) return time(10 ** value);
    return number(value, decimalsOf(span / this.k / this.width)) + (this.unit === '' ? '' : ' ' + this.unit);
  }
  zoom(factor, x) {
    const k = Math.min(MOST, Math.max(1, this.k * factor));
    this.set(k, x - ((x - this.t) / this.k) * k);
  }
  move(by) {
    this.set(this.k, this.t + by);
  }
  set(k, t) {
    this.k = k;
    this.t = Math.min(0, Math.max(this.width * (1 - k), t));
    const whole = k === 1;
    for (const one of this.marks)
      if (whole) one.removeAttribute('transform');
      else one.setAttribute('transform', 'matrix(' + k + ' 0 0 1 ' + this.t + ' 0)');
    // A point stays round.
    for (const one of this.circles)
      if (whole) one.removeAttribute('transform');
      else {
        const x = Number(one.getAttribute('cx'));
        one.setAttribute('transform', 'matrix(' + 1 / k + ' 0 0 1 ' + x * (1 - 1 / k) + ' 0)');
      }
    for (const old of this.axis.querySelectorAll('.tick')) old.remove();
    if (whole) this.axis.append(...this.ticks);
    else for (const [x, text] of this.#places()) this.axis.append(this.#tick(x, text));
  }
  /** Ticks of what is seen now: where, and their texts. */
  #places() {
    const span = this.to - this.from;
    const a = this.from + (-this.t / this.k / this.width) * span;
    const b = a + span / this.k;
    const count = Math.max(2, this.width / 90);
    const at = (value) => this.t + ((value - this.from) / span) * this.width * this.k;
    if (!this.log) {
      const { values, step } = round(a, b, count);
      return values.map((value) => [at(value), number(value, decimalsOf(step))]);
    }
    if (b - a < 1)
      return round(10 ** a, 10 ** b, count).values.map((value) => [at(Math.log10(value)), time(value)]);
    const steps = (b - a) * 3 <= count ? [1, 2, 5] : [1];
    const found = [];
    for (let decade = Math.floor(a); decade <= b; decade++)
      for (const step of steps) {
        const value = decade + Math.log10(step);
        if (value >= a - 1e-9 && value <= b + 1e-9) found.push([at(value), time(step * 10 ** decade)]);
      }
    return found;
  }
  #tick(x, text) {
    const make = (name, attributes, parent) => {
      const one = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
      parent?.append(one);
      return one;
    };
    const tick = make('g', { class: 'tick', transform: 'translate(' + x + ',0)' });
    make('line', { y2: 6, stroke: 'currentColor' }, tick);
    make('text', { y: 17, fill: 'currentColor', 'text-anchor': 'middle' }, tick).textContent = text;
    return tick;
  }
}

const readout = document.createElement('div');
readout.className = 'readout';
readout.hidden = true;
document.body.append(readout);
/** The mark that is read out, and its title: taken away meanwhile, lest the browser show it a second time. */
let shown;
const leave = () => {
  shown?.mark.prepend(shown.title);
  shown = undefined;
  readout.hidden = true;
};
const point = (event, panel) => {
  const mark = event.target.closest('svg.chart rect, svg.chart path, svg.chart circle');
  if (mark !== shown?.mark) {
    leave();
    const title = mark?.querySelector(':scope > title');
    if (title == null) return;
    title.remove();
    shown = { mark, title };
  }
  if (shown === undefined) return;
  const at = panel?.text(event.clientX);
  readout.textContent = shown.title.textContent + (at === undefined ? '' : '\nat ' + at);
  readout.hidden = false;
  const { width, height } = readout.getBoundingClientRect();
  const x = Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 6);
  const y = event.clientY + 18 + height < window.innerHeight ? event.clientY + 18 : event.clientY - height - 10;
  readout.style.left = Math.max(4, x) + 'px';
  readout.style.top = Math.max(4, y) + 'px';
};

const everything = [];
for (const picture of document.querySelectorAll('figure > .wide, figure > .narrow')) {
  const panels = [];
  let marks = [];
  for (const one of picture.querySelectorAll('svg.marks > g, g[data-from]'))
    if (one.dataset.from === undefined) marks.push(one);
    else {
      if (marks.length > 0) panels.push(new Panel(one, marks));
      marks = [];
    }
  picture.addEventListener('pointerleave', leave);
  if (panels.length === 0) {
    picture.addEventListener('pointermove', (event) => point(event));
    continue;
  }
  everything.push(...panels);
  /** That whose axis is the next one below. */
  const under = ({ clientY }) =>
    panels.find(({ axis }) => clientY <= axis.getBoundingClientRect().bottom) ?? panels.at(-1);
  const changed = () => picture.classList.toggle('zoomed', panels.some(({ k }) => k > 1));
  const all = (change) => {
    for (const panel of panels) change(panel);
    changed();
  };
  const zoomAll = (factor) => all((panel) => panel.zoom(factor, panel.width / 2));
  const reset = () => all((panel) => panel.set(1, 0));

  const tools = document.createElement('div');
  tools.className = 'tools';
  const button = (text, label, act) => {
    const one = document.createElement('button');
    one.type = 'button';
    one.textContent = text;
    one.title = label;
    one.setAttribute('aria-label', label);
    one.addEventListener('click', act);
    tools.append(one);
  };
  button('+', 'Zoom in (+, or Ctrl and the wheel)', () => zoomAll(STEP));
  button('−', 'Zoom out (−)', () => zoomAll(1 / STEP));
  button('Reset', 'Show all (0, or a double click)', reset);
  picture.prepend(tools);
  picture.tabIndex = 0;
  picture.setAttribute('role', 'group');
  picture.setAttribute('aria-label', 'Chart: + and − zoom, the arrows move, 0 shows all');

  // The wheel alone scrolls the page, unless the chart has the focus: by a click, say.
  picture.addEventListener(
    'wheel',
    (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      const chosen = picture.contains(document.activeElement);
      if (!event.ctrlKey && !event.metaKey && !chosen) return;
      event.preventDefault();
      const panel = under(event);
      const pixels = event.deltaMode === 1 ? 20 : 1;
      if (sideways) panel.move(-event.deltaX * pixels);
      else panel.zoom(2 ** ((-event.deltaY * pixels) / 200), panel.place(event.clientX));
      changed();
    },
    { passive: false },
  );
  let drag;
  picture.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('button') !== null) return;
    const panel = under(event);
    drag = { panel, at: panel.place(event.clientX) };
  });
  picture.addEventListener('pointermove', (event) => {
    if (drag === undefined || (event.buttons & 1) === 0) {
      drag = undefined;
      point(event, under(event));
      return;
    }
    if (drag.panel.k === 1) return;
    leave();
    picture.classList.add('dragged');
    const now = drag.panel.place(event.clientX);
    drag.panel.move(now - drag.at);
    drag.at = now;
  });
  for (const name of ['pointerup', 'pointercancel', 'pointerleave'])
    picture.addEventListener(name, () => {
      drag = undefined;
      picture.classList.remove('dragged');
    });
  picture.addEventListener('dblclick', (event) => {
    if (event.target.closest('button') === null) reset();
  });
  picture.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      '+': () => zoomAll(STEP),
      '=': () => zoomAll(STEP),
      '-': () => zoomAll(1 / STEP),
      '0': reset,
      ArrowLeft: () => all((panel) => panel.move(panel.width / 8)),
      ArrowRight: () => all((panel) => panel.move(-panel.width / 8)),
    }[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });
}
// On paper all is shown.
let before = [];
addEventListener('beforeprint', () => {
  leave();
  before = everything.map(({ k, t }) => [k, t]);
  for (const panel of everything) panel.set(1, 0);
});
addEventListener('afterprint', () => {
  everything.forEach((panel, i) => panel.set(...(before[i] ?? [1, 0])));
});
})();
`;
